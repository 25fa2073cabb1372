#include "llm/work_state.h"

#include "support/catch.h"

using namespace quoin;

TEST_CASE("a cancel is seen by the work that it finds, by none that begins later") {
    WorkState state;
    CHECK_FALSE(state.cancel());
    REQUIRE(state.begin());
    CHECK_FALSE(state.is_cancelled());
    CHECK(state.cancel());
    CHECK(state.cancel());
    CHECK(state.is_cancelled());
    CHECK(state.end());
    CHECK_FALSE(state.cancel());
    REQUIRE(state.begin());
    CHECK_FALSE(state.is_cancelled());
    CHECK_FALSE(state.end());
}

TEST_CASE("work is alone, cancelled or not, and readers are among themselves") {
    WorkState state;
    {
        const WorkState::Work work(state);
        CHECK(work.begun());
        CHECK_FALSE(WorkState::Work(state).begun());
        CHECK_FALSE(WorkState::Reading(state).begun());
        state.cancel();
        CHECK_FALSE(WorkState::Work(state).begun());
        CHECK_FALSE(WorkState::Reading(state).begun());
    }
    {
        const WorkState::Reading first(state);
        const WorkState::Reading second(state);
        CHECK(first.begun());
        CHECK(second.begun());
        CHECK_FALSE(WorkState::Work(state).begun());
        CHECK_FALSE(state.cancel());
    }
    CHECK(WorkState::Work(state).begun());
}

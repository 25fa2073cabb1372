#include "isolated.h"

#include <algorithm>
#include <cerrno>
#include <exception>

#if defined(__unix__) || defined(__APPLE__)
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#endif

namespace quoin::conformance {
namespace {

Outcome guarded(const std::function<Outcome(size_t)>& test, size_t index) {
    try {
        return test(index);
    } catch (const std::exception& failure) {
        return std::string("exception: ") + failure.what();
    }
}

}  // namespace

#if defined(__unix__) || defined(__APPLE__)
namespace {

// One line per finished test: "+" or "-" and the reason.
void write_line(int pipe, const Outcome& outcome) {
    std::string line = outcome ? "-" + *outcome : "+";
    std::ranges::replace(line, '\n', ' ');
    line += '\n';
    for (size_t done = 0; done < line.size();) {
        const ssize_t written = write(pipe, line.data() + done, line.size() - done);
        if (written <= 0) _exit(3);
        done += static_cast<size_t>(written);
    }
}

std::string how_it_ended(int state, bool late, double seconds) {
    if (late) return "not done after " + std::to_string(static_cast<int>(seconds)) + " s";
    if (WIFSIGNALED(state)) return std::string("crashed: ") + strsignal(WTERMSIG(state));
    return "the process ended with exit code " + std::to_string(WEXITSTATUS(state));
}

// Reads outcomes until the child has ended; true when it had to be stopped.
bool follow(int pipe, pid_t child, double seconds, std::vector<Outcome>& outcomes) {
    std::string pending;
    while (true) {
        pollfd waiting{pipe, POLLIN, 0};
        const int ready = poll(&waiting, 1, static_cast<int>(seconds * 1000));
        if (ready == 0) {
            kill(child, SIGKILL);
            return true;
        }
        char bytes[4096];
        const ssize_t count = ready < 0 ? -1 : read(pipe, bytes, sizeof(bytes));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        pending.append(bytes, static_cast<size_t>(count));
        for (size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
            outcomes.push_back(pending[0] == '+' ? std::nullopt : Outcome(pending.substr(1, end - 1)));
            pending.erase(0, end + 1);
        }
    }
}

}  // namespace

std::vector<Outcome> run_isolated(size_t count, double seconds, const std::function<void()>& begin,
                                  const std::function<Outcome(size_t)>& test) {
    std::vector<Outcome> outcomes;
    while (outcomes.size() < count) {
        int ends[2];
        if (pipe(ends) != 0) {
            outcomes.resize(count, Outcome("no pipe to a child process can be had"));
            break;
        }
        const size_t first = outcomes.size();
        std::fflush(nullptr);
        const pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            begin();
            for (size_t index = first; index < count; ++index) write_line(ends[1], guarded(test, index));
            _exit(0);
        }
        close(ends[1]);
        if (child < 0) {
            close(ends[0]);
            outcomes.resize(count, Outcome("no child process can be had"));
            break;
        }
        const bool late = follow(ends[0], child, seconds, outcomes);
        close(ends[0]);
        int state = 0;
        waitpid(child, &state, 0);
        if (outcomes.size() < count) outcomes.emplace_back(how_it_ended(state, late, seconds));
    }
    return outcomes;
}
#else
std::vector<Outcome> run_isolated(size_t count, double, const std::function<void()>& begin,
                                  const std::function<Outcome(size_t)>& test) {
    std::vector<Outcome> outcomes;
    begin();
    for (size_t index = 0; index < count; ++index) outcomes.push_back(guarded(test, index));
    return outcomes;
}
#endif

}  // namespace quoin::conformance

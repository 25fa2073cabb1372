// What passes need to recognise chains of arithmetic that exporters write for one op.
#pragma once

#include <optional>
#include <vector>

#include "graph/graph.h"

namespace quoin {

// scale * factors[0] * factors[1] * ...: what a tree of Mul, Div by constants, Neg and Pow with small whole exponents
// computes. A value that is none of these is its own only factor. Constants of one element are part of the scale.
// `whole` is a factor even where it is a product itself.
struct Product {
    double scale = 1;
    std::vector<ValueId> factors;  // sorted
};
Product product_of(const Graph& graph, ValueId value, ValueId whole = kNoValue);

// offset + terms[0] + terms[1] + ...: the same of Add and Sub (of constants).
struct Sum {
    double offset = 0;
    std::vector<ValueId> terms;
};
Sum sum_of(const Graph& graph, ValueId value, ValueId whole = kNoValue);

// The node that makes this value if it is `op`; else null. How many read it does not matter: what is replaced only
// loses a reader.
const Node* producer(const Graph& graph, ValueId value, Op op);

// Whether an operand that is a constant of one element may give the result more axes than the other operand has: 2 *
// [[0.5]] is a matrix, which no function of one number makes.
bool constant_adds_axes(const Graph& graph, const Node& node);

// Whether two numbers are equal but for the rounding of a float.
bool close_to(double a, double b);

}  // namespace quoin

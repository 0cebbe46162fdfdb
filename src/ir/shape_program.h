// Many expressions as one straight-line program.
#pragma once

#include <unordered_map>

#include "ir/expr.h"

namespace fovea::core {

// Many expressions as one straight-line program: evaluated without allocation, once per shape, and again for what
// follows a data-dependent size. Slots are numbered; the first ones hold the symbols.
class ShapeProgram {
 public:
  int add_symbol(const SymbolPtr& symbol);  // slot of the symbol, new or known
  int add(const Expr& e);                   // slot of the expression's value
  int slots() const { return static_cast<int>(slots_.size()); }
  std::span<const SymbolPtr> symbols() const { return symbols_; }
  int symbol_slot(std::string_view name) const;  // -1 if there is none
  bool data_dependent(int slot) const { return slots_[static_cast<size_t>(slot)].data_dependent; }

  // Computes every slot whose symbols are bound. values[slot] holds int64, or a double's bits for floats; `known[slot]`
  // says which are valid; slots already known are kept. Fails on overflow and on division by zero, except in the arm of
  // a select that is not taken.
  Status run(std::span<int64_t> values, std::span<uint8_t> known) const;

 private:
  struct Slot {
    ExprOp op;
    DType dtype;
    DType arg_dtype;
    int64_t literal = 0;
    std::vector<int> args;
    bool data_dependent = false;
    bool wanted = false;  // by add()'s caller, not only by another slot
  };
  int add_slot(const Expr& e);
  std::vector<Slot> slots_;
  std::vector<SymbolPtr> symbols_;
  std::vector<int> symbol_slots_;
  static constexpr size_t kMaxArgs = 64;                        // of a slot
  std::unordered_multimap<size_t, std::pair<Expr, int>> memo_;  // by hash: the slot of an expression
};

}  // namespace fovea::core

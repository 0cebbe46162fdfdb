#include "ir/shape_program.h"

#include "ir/expr_node.h"

namespace fovea::core {

using namespace expr_detail;

int ShapeProgram::add_symbol(const SymbolPtr& symbol) {
  if (int known = symbol_slot(symbol->name); known >= 0) return known;
  Slot slot{ExprOp::kSymbol, DType::kInt64, DType::kInt64, 0, {}, symbol->data_dependent};
  slots_.push_back(std::move(slot));
  symbols_.push_back(symbol);
  symbol_slots_.push_back(slots() - 1);
  return slots() - 1;
}

int ShapeProgram::symbol_slot(std::string_view name) const {
  for (size_t i = 0; i < symbols_.size(); ++i)
    if (symbols_[i]->name == name) return symbol_slots_[i];
  return -1;
}

int ShapeProgram::add(const Expr& e) {
  const int slot = add_slot(e);
  slots_[static_cast<size_t>(slot)].wanted = true;
  return slot;
}

int ShapeProgram::add_slot(const Expr& e) {
  if (e.op() == ExprOp::kSymbol) return add_symbol(e.symbol());
  auto [first, last] = memo_.equal_range(e.id()->hash);
  for (auto it = first; it != last; ++it)
    if (it->second.first == e) return it->second.second;
  Slot slot{e.op(), e.dtype(), e.args().empty() ? e.dtype() : e.args()[0].dtype(), 0, {}, e.data_dependent()};
  if (e.is_const()) slot.literal = literal_of(e);
  for (const Expr& a : e.args()) slot.args.push_back(add_slot(a));
  // A long sum or product in pieces: run() keeps the arguments of one slot on its stack.
  while (slot.args.size() > kMaxArgs) {
    Slot piece = slot;
    piece.args.assign(slot.args.begin(), slot.args.begin() + kMaxArgs);
    slot.args.erase(slot.args.begin() + 1, slot.args.begin() + kMaxArgs);
    slots_.push_back(std::move(piece));
    slot.args[0] = slots() - 1;
  }
  slots_.push_back(std::move(slot));
  memo_.emplace(e.id()->hash, std::pair(e, slots() - 1));
  return slots() - 1;
}

Status ShapeProgram::run(std::span<int64_t> values, std::span<uint8_t> known) const {
  // A value that cannot be computed is an error only where it is asked for: a select may leave it out.
  constexpr uint8_t kUnknown = 0, kKnown = 1, kFailed = 2;
  int64_t args[kMaxArgs];
  Status status;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& s = slots_[i];
    if (known[i] != kUnknown || s.op == ExprOp::kSymbol) continue;
    if (s.op == ExprOp::kConst) {
      values[i] = s.literal, known[i] = kKnown;
      continue;
    }
    auto value_of = [&](size_t k) { return values[static_cast<size_t>(s.args[k])]; };
    auto state_of = [&](size_t k) { return known[static_cast<size_t>(s.args[k])]; };
    uint8_t state = kKnown;
    if (s.op == ExprOp::kSelect) {
      state = state_of(0);
      if (state == kKnown) {
        const size_t taken = value_of(0) ? 1 : 2;
        state = state_of(taken), values[i] = value_of(taken);
      }
    } else {
      for (size_t k = 0; k < s.args.size() && state != kUnknown; ++k) {
        if (state_of(k) != kKnown) state = state_of(k);
        args[k] = value_of(k);
      }
      if (state == kKnown) {
        const auto r = apply(s.op, s.dtype, s.arg_dtype, std::span<const int64_t>(args, s.args.size()));
        if (r) values[i] = *r;
        else state = kFailed;
      }
    }
    known[i] = state;
    if (state == kFailed && s.wanted)
      status = invalid_argument("a size overflows or divides by zero for these input shapes");
  }
  return status;
}

}  // namespace fovea::core

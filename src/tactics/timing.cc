#include "tactics/timing.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "backends/cpu/target.h"
#include "base/file.h"
#include "tactics/assignment.h"

namespace fovea::core {
namespace {

constexpr std::string_view kHeader = "fovea timing cache 1\n", kRefused = "refused: ";

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string shape_key(std::span<const int64_t> shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  return s + "]";
}

struct Memory {
  std::vector<std::unique_ptr<std::byte[]>> blocks;
  std::byte* take(int64_t bytes, bool random) {
    auto size = static_cast<size_t>(bytes) + 64;
    blocks.push_back(std::make_unique_for_overwrite<std::byte[]>(size));
    auto address = (reinterpret_cast<uintptr_t>(blocks.back().get()) + 63) / 64 * 64;
    auto* p = reinterpret_cast<std::byte*>(address);
    if (random) fill(p, bytes);
    else std::memset(p, 0, static_cast<size_t>(bytes));
    return p;
  }
  // Small positive floats: no denormals, no overflow, and the branches of a ReLU both taken.
  static void fill(std::byte* p, int64_t bytes) {
    uint32_t state = 12345;
    auto* f = reinterpret_cast<float*>(p);
    for (int64_t i = 0; i < bytes / 4; ++i) {
      state = state * 1664525u + 1013904223u;
      f[i] = static_cast<float>(static_cast<int32_t>(state >> 8) - (1 << 23)) * (1.0f / (1 << 23));
    }
  }
};

TensorRef make_ref(const TensorDesc& d, Memory& memory, bool random) {
  if (d.dtype == DType::kUndefined) return {};
  if (d.constant) return TensorRef::of(*d.constant);
  int64_t bytes = dtype_bytes(d.dtype, storage_elements(d.layout, d.shape)).value_or(0);
  return TensorRef::dense_of(d.dtype, d.shape, memory.take(bytes, random && d.dtype == DType::kFloat32));
}

// The median of a few runs: at least 3, more while they are short.
template <typename F>
Result<double> median_ms(F&& run) {
  FOVEA_TRY(run());
  std::vector<double> times;
  const double start = now_ms();
  while (times.size() < 3 || (times.size() < 15 && now_ms() - start < 12)) {
    const double begin = now_ms();
    FOVEA_TRY(run());
    times.push_back(now_ms() - begin);
    if (times.size() >= 2 && now_ms() - start > 400) break;
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

}  // namespace

std::string machine_key() {
  const CpuTarget t = cpu_target();
  return fmt::format("{};{};{}", t.device, t.features, t.libraries);
}

std::string timing_key(const KernelRow& row, const PrepareContext& context, const LayoutChoice& layouts) {
  std::string key = fmt::format("{}@{} t{}", row.name, row.revision, context.threads);
  for (const Node* n : context.group.nodes) {
    key += fmt::format(" {}", n->op->name);
    if (!n->op->attrs.to_map) continue;
    for (const auto& [name, value] : n->op->attrs.to_map(n->attrs.get())) {
      key += " " + name + "=";
      if (auto* i = std::get_if<int64_t>(&value)) key += std::to_string(*i);
      else if (auto* b = std::get_if<bool>(&value)) key += *b ? "1" : "0";
      else if (auto* v = std::get_if<std::vector<int64_t>>(&value)) key += shape_key(*v);
      else if (auto* s = std::get_if<std::string>(&value)) key += *s;
      else if (auto* f = std::get_if<double>(&value)) key += fmt::format("{}", *f);
    }
  }
  auto describe = [&](const TensorDesc& d, Layout layout) {
    key += fmt::format(" {}{}{}{}", to_string(d.dtype), shape_key(d.shape), to_string(layout), d.constant ? "c" : "");
  };
  for (size_t i = 0; i < context.inputs.size(); ++i)
    describe(context.inputs[i], i < layouts.inputs.size() ? layouts.inputs[i] : Layout::kPlain);
  key += " ->";
  for (size_t i = 0; i < context.outputs.size(); ++i)
    describe(context.outputs[i], i < layouts.outputs.size() ? layouts.outputs[i] : Layout::kPlain);
  return key;
}

Status TimingCache::load(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) return {};
  FOVEA_TRY_SET(std::string text, read_file(path));
  if (text.compare(0, kHeader.size(), kHeader) != 0)
    return invalid_argument("{}: expected a timing cache (first line '{}')", path,
                            kHeader.substr(0, kHeader.size() - 1));
  size_t at = kHeader.size();
  for (int line = 2; at < text.size(); ++line) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string_view row(text.data() + at, end - at);
    at = end + 1;
    if (row.empty()) continue;
    const size_t tab = row.find('\t');
    if (tab == std::string_view::npos) return invalid_argument("{}:{}: expected 'key<tab>milliseconds'", path, line);
    const std::string key(row.substr(0, tab)), value(row.substr(tab + 1));
    if (value.starts_with(kRefused)) {
      entries_[key] = {-1, value.substr(kRefused.size())};
      continue;
    }
    char* stop = nullptr;
    const double ms = std::strtod(value.c_str(), &stop);
    if (value.empty() || stop != value.c_str() + value.size() || !(ms >= 0) || std::isinf(ms))
      return invalid_argument("{}:{}: expected 'key<tab>milliseconds', found '{}'", path, line, value);
    entries_[key] = {ms, ""};
  }
  return {};
}

Status TimingCache::save(const std::string& path) const {
  std::string text(kHeader);
  for (const auto& [key, e] : entries_)
    text +=
        e.refusal.empty() ? fmt::format("{}\t{}\n", key, e.ms) : fmt::format("{}\t{}{}\n", key, kRefused, e.refusal);
  return write_file(path, text);
}

const TimingCache::Entry* TimingCache::find(const std::string& key) const {
  auto it = entries_.find(machine_key() + "|" + key);
  return it == entries_.end() ? nullptr : &it->second;
}

void TimingCache::put(const std::string& key, Entry entry) {
  // One line an entry.
  std::replace(entry.refusal.begin(), entry.refusal.end(), '\n', ' ');
  entries_[machine_key() + "|" + key] = std::move(entry);
}

Result<double> Timer::kernel(const KernelRow& row, const PrepareContext& context, const LayoutChoice& layouts) {
  const std::string key = timing_key(row, context, layouts);
  if (const TimingCache::Entry* known = cache_.find(key)) {
    if (!known->refusal.empty()) return unsupported("{}", known->refusal);
    return known->ms;
  }
  PrepareContext prepared_for = context;
  for (size_t i = 0; i < prepared_for.inputs.size(); ++i) prepared_for.inputs[i].layout = layouts.inputs[i];
  for (size_t i = 0; i < prepared_for.outputs.size(); ++i) prepared_for.outputs[i].layout = layouts.outputs[i];
  auto prepared = row.prepare(prepared_for);
  if (!prepared.ok()) {
    if (prepared.status().kind() == ErrorKind::kUnsupported) cache_.put(key, {-1, prepared.status().message()});
    return prepared.status();
  }
  if (!enabled_) return rough_ms(prepared_for) / row.preference;
  Memory memory;
  std::vector<TensorRef> inputs, outputs;
  for (const TensorDesc& d : prepared_for.inputs) inputs.push_back(make_ref(d, memory, true));
  for (const TensorDesc& d : prepared_for.outputs) outputs.push_back(make_ref(d, memory, false));
  if (context.group.residual >= 0) inputs[static_cast<size_t>(context.group.residual)].data = outputs[0].data;
  Scratch scratch;
  const int64_t workspace_bytes = (*prepared)->workspace_bytes();
  std::byte* workspace = memory.take(workspace_bytes, false);
  ++measured_;
  auto ms = median_ms([&]() -> Status {
    KernelContext run;
    run.inputs = inputs, run.outputs = outputs, run.threads = threads_, run.scratch = &scratch,
    run.workspace = workspace;
    run.attributes = context.group.nodes[0]->attrs.get();
    Status s = (*prepared)->run(run);
    scratch.reset();
    return s;
  });
  if (!ms.ok()) return ms.status();
  // Three digits: what a later run would not measure the same is not written down.
  const double rounded = std::strtod(fmt::format("{:.4g}", *ms).c_str(), nullptr);
  cache_.put(key, {rounded, ""});
  return rounded;
}

double Timer::reformat(DType dtype, const std::vector<int64_t>& shape, Layout from, Layout to) {
  const int64_t bytes =
      dtype_bytes(dtype, storage_elements(from, shape) + storage_elements(to, shape)).value_or(kUnbounded);
  const double estimate = 0.002 + static_cast<double>(bytes) / 12e6;  // 12 GB/s, in milliseconds
  if (!enabled_ || shape.size() != 4) return estimate;
  const std::string key = fmt::format("reformat t{} {}{} {} {}", threads_, to_string(dtype), shape_key(shape),
                                      to_string(from), to_string(to));
  if (const TimingCache::Entry* known = cache_.find(key)) return known->ms;
  Memory memory;
  TensorRef a = make_ref({dtype, shape, from, nullptr}, memory, true),
            b = make_ref({dtype, shape, to, nullptr}, memory, false);
  ++measured_;
  auto ms = median_ms([&] { return fovea::core::reformat(a, from, b, to, threads_); });
  const double result = ms.ok() ? std::strtod(fmt::format("{:.4g}", *ms).c_str(), nullptr) : 1e6;
  cache_.put(key, {result, ""});
  return result;
}

std::shared_ptr<void> PackedWeightsMap::find(const std::string& key) {
  std::lock_guard lock(mutex_);
  auto it = packed_.find(key);
  return it == packed_.end() ? nullptr : it->second.first.lock();
}

void PackedWeightsMap::put(const std::string& key, std::shared_ptr<void> packed, int64_t bytes) {
  std::lock_guard lock(mutex_);
  packed_[key] = {packed, bytes};
  constexpr int64_t kOften = 8 << 20;
  since_release_ += bytes;
  if (!release_ || since_release_ < kOften) return;
  since_release_ = 0;
  release_();
}

int64_t PackedWeightsMap::bytes() const {
  std::lock_guard lock(mutex_);
  int64_t total = 0;
  for (const auto& [key, entry] : packed_)
    if (!entry.first.expired()) total += entry.second;
  return total;
}

}  // namespace fovea::core

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

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> columns(1);
  for (char c : line)
    if (c == '\t') columns.emplace_back();
    else columns.back() += c;
  return columns;
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

double median_of(std::vector<double> times) {
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
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
  return median_of(std::move(times));
}

// On a device: runs are captured a few at a time, so that starting them does not count.
template <typename F>
Result<double> median_ms_on(Device& device, DeviceStream& stream, F&& run) {
  constexpr int kRuns = 8, kRepeats = 7;
  FOVEA_TRY(run());
  FOVEA_TRY(stream.synchronize());
  FOVEA_TRY(stream.begin_capture());
  for (int i = 0; i < kRuns; ++i)
    if (Status s = run(); !s.ok()) {
      (void)stream.end_capture();
      return s;
    }
  FOVEA_TRY_SET(auto graph, stream.end_capture());
  FOVEA_TRY_SET(auto begin, device.create_event());
  FOVEA_TRY_SET(auto end, device.create_event());
  FOVEA_TRY(stream.launch(*graph));
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    FOVEA_TRY(stream.record(*begin));
    FOVEA_TRY(stream.launch(*graph));
    FOVEA_TRY(stream.record(*end));
    FOVEA_TRY(stream.synchronize());
    FOVEA_TRY_SET(const double ms, end->ms_since(*begin));
    times.push_back(ms / kRuns);
  }
  return median_of(std::move(times));
}

// Three digits: what a later run would not measure the same is not written down.
double rounded(double ms) { return std::strtod(fmt::format("{:.4g}", ms).c_str(), nullptr); }

// A piece from the host; the rest are copies of what is there, twice as much each time.
Status fill_random(DType type, int64_t elements, DeviceStream& stream, Memory& memory, std::byte* to) {
  constexpr int64_t kPiece = 1 << 18;
  const int64_t some = std::min(elements, kPiece), size = dtype_bits(type) / 8;
  std::byte* host = memory.take(some * 4, true);
  const auto* wide = reinterpret_cast<const float*>(host);
  if (size == 2) {
    auto* narrow = reinterpret_cast<uint16_t*>(host);
    for (int64_t i = 0; i < some; ++i)
      narrow[i] = type == DType::kFloat16 ? Half(wide[i]).bits : BFloat16(wide[i]).bits;
  }
  FOVEA_TRY(stream.copy(to, host, some * size));
  for (int64_t done = some; done < elements; done *= 2)
    FOVEA_TRY(stream.copy(to + done * size, to, std::min(done, elements - done) * size));
  return {};
}

// A tensor in the device's memory, filled as make_ref() fills it.
Result<TensorRef> make_device_ref(const TensorDesc& d, Device& device, DeviceStream& stream, Memory& memory,
                                  std::vector<DeviceMemory>& blocks, bool random) {
  if (d.dtype == DType::kUndefined) return TensorRef();
  const int64_t elements = storage_elements(d.layout, d.shape);
  const int64_t bytes = dtype_bytes(d.dtype, elements).value_or(0);
  FOVEA_TRY_SET(blocks.emplace_back(), device.allocate(std::max<int64_t>(bytes, 1), DeviceMemory::Kind::kDevice));
  const TensorRef ref = TensorRef::dense_of(d.dtype, d.shape, blocks.back().data());
  if (d.constant && d.layout == Layout::kPlain && d.dtype == d.constant->dtype()) {
    FOVEA_TRY(stream.copy(ref.data, d.constant->bytes().data(), bytes));
  } else if (random && (d.dtype == DType::kFloat32 || d.dtype == DType::kFloat16 || d.dtype == DType::kBFloat16)) {
    // Padding gets numbers as well, and kernels take them for zeros: their time is the same.
    FOVEA_TRY(fill_random(d.dtype, elements, stream, memory, blocks.back().data()));
  } else {
    FOVEA_TRY(stream.zero(ref.data, bytes));
  }
  return ref;
}

}  // namespace

std::string machine_key(const Device* device) {
  const Target t = device ? device->target() : cpu_target();
  return fmt::format("{};{};{}", t.device, t.features, t.libraries);
}

std::string timing_key(const KernelRow& row, const PrepareContext& context) {
  std::string key = fmt::format("{}|{}@{} t{}", machine_key(context.device), row.name, row.revision, context.threads);
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
  auto describe = [&](const TensorDesc& d) {
    key += fmt::format(" {}{}{}{}", to_string(d.dtype), shape_key(d.shape), to_string(d.layout), d.constant ? "c" : "");
  };
  for (const TensorDesc& d : context.inputs) describe(d);
  key += " ->";
  for (const TensorDesc& d : context.outputs) describe(d);
  if (row.limits_workspace && context.workspace_limit != kAnyWorkspace)
    key += fmt::format(" workspace<={}", context.workspace_limit);
  for (const Value* v : context.group.outputs)
    if (v && v->storage.tf32) return key + " tf32";
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
    const std::string key(row.substr(0, tab));
    std::string value(row.substr(tab + 1));
    if (value.starts_with(kRefused)) {
      entries_[key] = {-1, value.substr(kRefused.size()), "", {}};
      continue;
    }
    const std::vector<std::string> columns = split(value);
    value = columns[0];
    char* stop = nullptr;
    const double ms = std::strtod(value.c_str(), &stop);
    if (value.empty() || stop != value.c_str() + value.size() || !(ms >= 0) || std::isinf(ms))
      return invalid_argument("{}:{}: expected 'key<tab>milliseconds', found '{}'", path, line, value);
    Entry& entry = entries_[key] = {ms, "", columns.size() > 1 ? columns[1] : "", {}};
    for (size_t i = 2; i < columns.size(); ++i) {
      const size_t space = columns[i].find(' ');
      const int64_t bytes = std::strtoll(columns[i].c_str(), nullptr, 10);
      if (space == std::string::npos || bytes <= 0)
        return invalid_argument("{}:{}: expected 'bytes name', found '{}'", path, line, columns[i]);
      entry.over_limit.push_back({columns[i].substr(space + 1), bytes});
    }
  }
  return {};
}

Status TimingCache::save(const std::string& path) const {
  std::string text(kHeader);
  for (const auto& [key, e] : entries_) {
    text += !e.refusal.empty() ? fmt::format("{}\t{}{}", key, kRefused, e.refusal) : fmt::format("{}\t{}", key, e.ms);
    if (!e.variant.empty() || !e.over_limit.empty()) text += "\t" + e.variant;
    for (const KernelVariant& v : e.over_limit) text += fmt::format("\t{} {}", v.workspace_bytes, v.name);
    text += '\n';
  }
  return write_file(path, text);
}

const TimingCache::Entry* TimingCache::find(const std::string& key) const {
  auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : &it->second;
}

void TimingCache::put(const std::string& key, Entry entry) {
  // One line an entry.
  std::ranges::replace(entry.refusal, '\n', ' ');
  std::ranges::replace(entry.variant, '\n', ' ');
  for (KernelVariant& v : entry.over_limit) std::ranges::replace(v.name, '\n', ' ');
  entries_[key] = std::move(entry);
}

Result<TimingCache::Entry> Timer::kernel(const KernelRow& row, const PrepareContext& asked) {
  PrepareContext context = asked;
  context.tune = enabled_;
  const std::string key = timing_key(row, context);
  if (const TimingCache::Entry* known = cache_.find(key)) {
    if (!known->refusal.empty()) return unsupported("{}", known->refusal);
    return *known;
  }
  auto prepared = row.prepare(context);
  if (!prepared.ok()) {
    if (prepared.status().kind() == ErrorKind::kUnsupported) cache_.put(key, {-1, prepared.status().message(), "", {}});
    return prepared.status();
  }
  if (!enabled_) return TimingCache::Entry{rough_ms(context) / row.preference, "", "", (*prepared)->over_limit()};
  ++measured_;
  auto ms = row.place == Place::kDevice ? on_device(**prepared, context) : on_host(**prepared, context);
  if (!ms.ok()) return ms.status();
  TimingCache::Entry entry{rounded(*ms), "", row.place == Place::kDevice ? (*prepared)->detail() : "",
                           (*prepared)->over_limit()};
  cache_.put(key, entry);
  return entry;
}

Result<double> Timer::on_host(const PreparedKernel& kernel, const PrepareContext& context) {
  Memory memory;
  std::vector<TensorRef> inputs, outputs;
  for (const TensorDesc& d : context.inputs) inputs.push_back(make_ref(d, memory, true));
  for (const TensorDesc& d : context.outputs) outputs.push_back(make_ref(d, memory, false));
  if (context.group.residual >= 0) inputs[static_cast<size_t>(context.group.residual)].data = outputs[0].data;
  Scratch scratch;
  KernelContext run;
  run.inputs = inputs, run.outputs = outputs, run.threads = threads_, run.scratch = &scratch;
  run.workspace = memory.take(kernel.workspace_bytes(), false);
  run.attributes = context.group.nodes[0]->attrs.get();
  return median_ms([&]() -> Status {
    Status s = kernel.run(run);
    scratch.reset();
    return s;
  });
}

Result<DeviceStream*> Timer::stream_on(Device& device) {
  auto& stream = streams_[&device];
  if (!stream) {
    FOVEA_TRY_SET(stream, device.create_stream());
  }
  return stream.get();
}

Result<double> Timer::on_device(const PreparedKernel& kernel, const PrepareContext& context) {
  Device& device = *context.device;
  FOVEA_TRY_SET(DeviceStream* const stream, stream_on(device));
  Memory memory;
  std::vector<DeviceMemory> blocks;
  std::vector<TensorRef> inputs, outputs;
  for (const TensorDesc& d : context.inputs) {
    FOVEA_TRY_SET(inputs.emplace_back(), make_device_ref(d, device, *stream, memory, blocks, true));
  }
  for (const TensorDesc& d : context.outputs) {
    FOVEA_TRY_SET(outputs.emplace_back(), make_device_ref(d, device, *stream, memory, blocks, false));
  }
  if (context.group.residual >= 0) inputs[static_cast<size_t>(context.group.residual)].data = outputs[0].data;
  constexpr int64_t kSizes = 64;  // more than any group defines
  KernelContext run;
  run.inputs = inputs, run.outputs = outputs, run.threads = threads_, run.stream = stream;
  FOVEA_TRY_SET(blocks.emplace_back(),
                device.allocate(kernel.workspace_bytes() + kSizes * 8, DeviceMemory::Kind::kDevice));
  run.sizes = reinterpret_cast<int64_t*>(blocks.back().data());
  run.workspace = blocks.back().data() + kSizes * 8;
  FOVEA_TRY(stream->zero(blocks.back().data(), blocks.back().bytes()));
  run.attributes = context.group.nodes[0]->attrs.get();
  return median_ms_on(device, *stream, [&] { return kernel.run(run); });
}

double Timer::reformat(DType own, const std::vector<int64_t>& shape, const Format& from, const Format& to,
                       Device* device) {
  const double bytes =
      static_cast<double>(dtype_bytes(from.dtype(own), storage_elements(from.layout, shape)).value_or(kUnbounded)) +
      static_cast<double>(dtype_bytes(to.dtype(own), storage_elements(to.layout, shape)).value_or(kUnbounded));
  if (from.place != to.place) return 0.02 + bytes / 2 / 20e6;  // 20 GB/s, and a wait
  const bool on_device = from.place == Place::kDevice;
  // 12 GB/s on the host, in milliseconds; on the device what any of today's has.
  const double estimate = on_device ? 0.003 + bytes / 1e9 : 0.002 + bytes / 12e6;
  if (!enabled_ || shape.size() != 4) return estimate;
  const std::string key = fmt::format("{}|reformat t{} {}{} {} {}", machine_key(on_device ? device : nullptr), threads_,
                                      to_string(own), shape_key(shape), to_string(from), to_string(to));
  if (const TimingCache::Entry* known = cache_.find(key)) return known->ms;
  ++measured_;
  auto ms = measure_reformat(own, shape, from, to, on_device ? device : nullptr);
  const double result = ms.ok() ? rounded(*ms) : 1e6;
  cache_.put(key, {result, "", "", {}});
  return result;
}

Result<double> Timer::measure_reformat(DType own, const std::vector<int64_t>& shape, const Format& from,
                                       const Format& to, Device* device) {
  Memory memory;
  const TensorDesc source{from.dtype(own), shape, from.layout, nullptr},
      target{to.dtype(own), shape, to.layout, nullptr};
  if (!device) {
    const TensorRef a = make_ref(source, memory, true), b = make_ref(target, memory, false);
    return median_ms([&] { return fovea::core::reformat(a, from.layout, b, to.layout, threads_); });
  }
  FOVEA_TRY_SET(DeviceStream* const stream, stream_on(*device));
  std::vector<DeviceMemory> blocks;
  FOVEA_TRY_SET(const TensorRef a, make_device_ref(source, *device, *stream, memory, blocks, true));
  FOVEA_TRY_SET(const TensorRef b, make_device_ref(target, *device, *stream, memory, blocks, false));
  return median_ms_on(*device, *stream, [&] { return device->reformat(*stream, a, from, b, to); });
}

std::shared_ptr<void> PackedWeightsMap::find(const std::string& key) {
  std::lock_guard lock(mutex_);
  auto it = packed_.find(key);
  return it == packed_.end() ? nullptr : it->second.first.lock();
}

std::shared_ptr<void> PackedWeightsMap::put(const std::string& key, std::shared_ptr<void> packed, int64_t bytes) {
  std::lock_guard lock(mutex_);
  auto& entry = packed_[key];
  if (auto known = entry.first.lock()) return known;
  entry = {packed, bytes};
  constexpr int64_t kOften = 8 << 20;
  since_release_ += bytes;
  if (release_ && since_release_ >= kOften) {
    since_release_ = 0;
    release_();
  }
  return packed;
}

int64_t PackedWeightsMap::bytes() const {
  std::lock_guard lock(mutex_);
  int64_t total = 0;
  for (const auto& [key, entry] : packed_)
    if (!entry.first.expired()) total += entry.second;
  return total;
}

}  // namespace fovea::core

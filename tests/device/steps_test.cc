// What a run asks of a device: where the host waits, what is recorded, which ranges profilers see, what is staged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "backends/device.h"
#include "ir/parse.h"
#include "ops/op.h"
#include "plan/device_use.h"
#include "runtime/loaded_engine.h"
#include "runtime/memory.h"

namespace fovea::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kAdd = R"(symbols(n in [1,64])
graph @main(%x: float32[n,4]) -> (y = %y) {
  %a = Add(%x, %x) from "double"
  %y = Relu(%a) from "rectify"
})";
// The device has no Softmax.
constexpr const char* kMixed = R"(symbols(n in [1,64])
graph @main(%x: float32[n,4]) -> (y = %y, z = %z) {
  %a = Relu(%x) from "a"
  %b = Softmax(%a) from "b"
  %c = Softmax(%x) from "c"
  %d = Add(%b, %c) from "d"
  %z = Softmax(%d) from "z"
  %y = Relu(%d) from "y"
})";
constexpr const char* kDetect = R"(symbols(n in [1,16])
graph @main(%boxes: float32[n,40,4], %scores: float32[n,40,3]) -> (kept = %kept, total = %total) {
  %kept, %s = Nms(%boxes, %scores) {box_form="centre", score_threshold=0.5, iou_threshold=0.4, max_per_group=10, output="indices"} from "nms"
  %total = ReduceSum(%s) {axes=[0], keepdims=true} from "total"
})";
constexpr const char* kBranches = R"(symbols(n in [1,64])
graph @main(%x: float32[n,4], %c: bool[]) -> (y = %y) {
  %r = Relu(%x) from "before"
  %i = If(%c; %r, %x) from "if"
    region @then(%a: float32[n,4], %b: float32[n,4]) -> (%s) {
      %s = Add(%a, %b) from "sum"
    }
    region @else(%a: float32[n,4], %b: float32[n,4]) -> (%b) {
    }
  %y = Relu(%i) from "behind"
})";

// Heads behind a trunk of three levels, as detectors are exported; its first layer takes the most memory.
constexpr const char* kHeads = R"(symbols(n in [1,16])
graph @main(%x: float32[n,4,17,17]) -> (a = %a, b = %b, c = %c) {
  %w = constant float32[4,4,3,3] random(1)
  %v = constant float32[6,4,3,3] random(2)
  %w0 = constant float32[32,4,3,3] random(3)
  %w1 = constant float32[4,32,3,3] random(4)
  %wide = Conv(%x, %w0) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "first"
  %f0 = Conv(%wide, %w1) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "level0"
  %r0 = Relu(%f0)
  %f1 = Conv(%r0, %w) {strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1]} from "level1"
  %r1 = Relu(%f1)
  %e1 = Conv(%r1, %w) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "more"
  %f2 = Conv(%e1, %w) {strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1]} from "level2"
  %h0 = Conv(%r0, %v) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "head0"
  %h1 = Conv(%r1, %v) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "head1"
  %h2 = Conv(%f2, %v) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "head2"
  %a = Relu(%h0)
  %b = Relu(%h1)
  %c = Relu(%h2)
})";

// There is room for the head only when the layer behind "big" is done.
constexpr const char* kLateHead = R"(symbols(n in [1,16])
graph @main(%x: float32[n,4,17,17]) -> (a = %a, b = %b, c = %c) {
  %w0 = constant float32[16,4,3,3] random(1)
  %w1 = constant float32[16,16,3,3] random(2)
  %w2 = constant float32[4,16,3,3] random(3)
  %w3 = constant float32[4,4,3,3] random(4)
  %v = constant float32[12,16,3,3] random(5)
  %f0 = Conv(%x, %w0) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "level0"
  %r0 = Relu(%f0)
  %e = Conv(%r0, %w1) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "big"
  %f1 = Conv(%e, %w2) {strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1]} from "level1"
  %f2 = Conv(%f1, %w3) {strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1]} from "level2"
  %f3 = Conv(%f2, %w3) {strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1]} from "level3"
  %h0 = Conv(%r0, %v) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "head0"
  %a = Relu(%h0)
  %b = Relu(%f2)
  %c = Relu(%f3)
})";

std::string changed(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// There is room for the head behind "level1", but not while "late" runs.
std::string head_in_turn() {
  return changed(changed(kLateHead, "c = %c)", "c = %c, d = %d)"), "  %a = Relu(%h0)", R"(
  %l = Conv(%x, %w0) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "late"
  %d = Relu(%l)
  %a = Relu(%h0))");
}

// On the fake device, whatever others are here: what has a kernel is known.
struct Rig {
  std::shared_ptr<LoadedEngine> engine;
  std::shared_ptr<const Specialisation> spec;
  Executor executor;
  std::vector<std::shared_ptr<Tensor>> data;
  std::vector<TensorRef> in, out;

  explicit Rig(std::string_view text, int64_t n = 2) {
    auto graph = parse(text, find_op);
    EXPECT_TRUE(graph.ok()) << graph.status().message();
    EngineData given;
    given.graph = *std::move(graph);
    LoadOptions options;
    options.threads = 2, options.device = *open_device("fake:0");
    engine = *LoadedEngine::from(std::move(given), options);
    std::vector<std::vector<int64_t>> shapes;
    for (const Value* v : engine->main().graph().inputs) {
      shapes.emplace_back();
      for (const Dim& d : v->shape) shapes.back().push_back(d.is_const() ? d.int_value() : n);
      data.push_back(*Tensor::allocate(v->dtype, shapes.back()));
      const auto bytes = static_cast<size_t>(*dtype_bytes(v->dtype, data.back()->count()));
      std::memset(data.back()->mutable_data(), 0, bytes);
      in.push_back(TensorRef::dense_of(v->dtype, shapes.back(), data.back()->mutable_data()));
    }
    auto made = engine->main().specialise(shapes, 2);
    EXPECT_TRUE(made.ok()) << made.status().message();
    spec = *made;
    EXPECT_TRUE(executor.bind(spec).ok());
    out.resize(engine->main().graph().outputs.size());
  }
  void run() {
    const Status s = executor.run(in, out);
    EXPECT_TRUE(s.ok()) << s.message();
  }
};

std::vector<std::string> places(const DeviceUse& use) {
  std::vector<std::string> found;
  for (const Synchronisation& s : use.synchronisations)
    found.push_back(fmt::format("{} {}: {}", s.op, fmt::join(s.onnx_nodes, "+"), s.why));
  return found;
}

// What is read from the plan is what a run counts, before anybody asks for the outputs.
TEST(DeviceSteps, AreWhatThePlanSays) {
  for (const char* text : {kAdd, kMixed, kDetect}) {
    Rig rig(text);
    const DeviceUse use = device_use(rig.spec->plan());
    for (int run = 0; run < 3; ++run) {
      ASSERT_TRUE(rig.executor.enqueue(rig.in).ok());
      EXPECT_EQ(rig.executor.counts().synchronisations, static_cast<int>(use.synchronisations.size())) << text;
      EXPECT_EQ(rig.executor.counts().graphs, run == 0 ? 0 : use.segments) << text;
      ASSERT_TRUE(rig.executor.finish(rig.out).ok());
    }
  }
}

TEST(DeviceSteps, AreNamed) {
  EXPECT_THAT(places(device_use(Rig(kAdd).spec->plan())), testing::IsEmpty());
  EXPECT_EQ(device_use(Rig(kAdd).spec->plan()).segments, 1);
  const auto mixed = places(device_use(Rig(kMixed).spec->plan()));
  EXPECT_THAT(
      mixed, ElementsAre("Softmax b: no kernel of the device takes it", "Softmax z: no kernel of the device takes it"));
  const auto detect = places(device_use(Rig(kDetect).spec->plan()));
  EXPECT_THAT(detect, ElementsAre("Nms nms: the host needs a size that the device decides",
                                  "ReduceSum total: no kernel of the device takes it"));
}

TEST(DeviceSteps, OfBranchesAreOfEither) {
  Rig rig(kBranches);
  const DeviceUse use = device_use(rig.spec->plan());
  EXPECT_THAT(places(use), testing::Contains(HasSubstr("If if: the host takes the branch")));
  for (const uint8_t taken : {0, 1}) {
    *static_cast<uint8_t*>(rig.in[1].data) = taken;
    ASSERT_TRUE(rig.executor.enqueue(rig.in).ok());
    EXPECT_LE(rig.executor.counts().synchronisations, static_cast<int>(use.synchronisations.size()));
    EXPECT_GE(rig.executor.counts().synchronisations, 1);
    ASSERT_TRUE(rig.executor.finish(rig.out).ok());
  }
}

// Lines that the device writes while somebody does something.
template <typename F>
std::vector<std::string> traced(F&& f) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("fovea_trace_{}", ::getpid());
  ::setenv("FOVEA_FAKE_TRACE", file.c_str(), 1);
  f();
  ::unsetenv("FOVEA_FAKE_TRACE");
  std::vector<std::string> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  in.close();
  std::filesystem::remove(file);
  return lines;
}

// Steps that run beside others find their inputs and leave their outputs alone, whenever they run.
class Beside : public testing::TestWithParam<bool> {
 public:
  Beside() {
    if (GetParam()) ::setenv("FOVEA_FAKE_EARLY", "1", 1);
  }
  ~Beside() override { ::unsetenv("FOVEA_FAKE_EARLY"); }
};

// Those beside, and where they have less time than they could.
std::vector<std::string> beside(const Specialisation& spec) {
  std::vector<std::string> found;
  std::map<int, std::string> names;
  for (const Step& s : spec.plan().run_steps) {
    const std::string& name = names[s.position] = s.node && !s.node->origin.empty() ? s.node->origin[0] : "";
    if (!spec.beside(s)) continue;
    const auto [after, before] = spec.window(s);
    EXPECT_TRUE(before == s.before || before == s.position + 1) << name;
    found.push_back(name + (after > s.after ? " behind " + names[after] : "") +
                    (before < s.before ? " up to its turn" : ""));
  }
  return found;
}

TEST_P(Beside, GivesWhatStepsInTurnGive) {
  const std::pair<std::string, std::vector<std::string>> cases[] = {
      {kHeads, {"head0", "head1"}},  // beside head2 nothing would be left to run
      {kLateHead, {"level3", "head0 behind level1"}},
      {head_in_turn(), {"level3", "head0 behind level1 up to its turn"}}};
  for (const auto& [text, expected] : cases)
    for (int64_t n : {1, 2, 5}) {
      Rig in_turn(text, n), rig(text, n);
      in_turn.executor.observer = [](const StepEvent&) {};  // who is observed waits for his turn
      for (Rig* r : {&in_turn, &rig}) {
        auto* x = static_cast<float*>(r->in[0].data);
        for (int64_t i = 0; i < r->in[0].count(); ++i) x[i] = static_cast<float>(i * 7919 % 1000) / 500 - 1;
      }
      EXPECT_EQ(beside(*rig.spec), expected);
      in_turn.run();
      for (int run = 0; run < 3; ++run) {  // step by step, recorded, and once more
        rig.run();
        for (size_t i = 0; i < rig.out.size(); ++i)
          EXPECT_EQ(std::memcmp(rig.out[i].data, in_turn.out[i].data, static_cast<size_t>(rig.out[i].count()) * 4), 0)
              << "n " << n << ", run " << run << ", output " << i;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Whenever, Beside, testing::Bool(),
                         [](const auto& early) { return early.param ? "AsEarlyAsCanBe" : "AsLateAsCanBe"; });

// The widest layer's result lies where its input was, as far as the kernel can do that.
constexpr const char* kWide = R"(symbols(n in [1,16])
graph @main(%x: float32[n,4,8,8]) -> (y = %y) {
  %v = constant float32[8,4,1,1] random(1)
  %w = constant float32[64,8,3,3] random(2)
  %u = constant float32[8,64,3,3] random(3)
  %a = Conv(%x, %v) {strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]} from "narrow"
  %b = Conv(%a, %w) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "wide"
  %c = Conv(%b, %u) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "back"
  %y = Relu(%c)
})";
// The head reads what "wide" does, and its result is wanted right behind "wide": if it ran beside, it could run until
// then. "most" takes more memory than "wide" where that overlaps, so that there would be room for it.
constexpr const char* kReadBeside = R"(symbols(n in [1,16])
graph @main(%x: float32[n,4,8,8]) -> (y = %y, z = %z, f = %f) {
  %v = constant float32[8,4,1,1] random(1)
  %o = constant float32[1,8,1,1] random(2)
  %w = constant float32[40,8,3,3] random(3)
  %p = constant float32[4,40,1,1] random(4)
  %u = constant float32[8,40,1,1] random(5)
  %a = Conv(%x, %v) {strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]} from "narrow"
  %h = Conv(%a, %o) {strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]} from "head"
  %b = Conv(%a, %w) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "wide"
  %z = Relu(%h)
  %e = Conv(%b, %p) {strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]} from "few"
  %q = Relu(%b) from "most"
  %c = Conv(%q, %u) {strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]} from "back"
  %y = Relu(%c)
  %f = Relu(%e)
})";

class Overlap : public Beside {
 public:
  // Bytes that "wide" shares, after runs that give for each of n images what it gives alone.
  static int64_t shared(const std::string& text, int64_t n) {
    Rig all(text, n), one(text, 1);
    auto* x = static_cast<float*>(all.in[0].data);
    for (int64_t i = 0; i < all.in[0].count(); ++i) x[i] = static_cast<float>(i * 7919 % 1000) / 500 - 1;
    for (int run = 0; run < 3; ++run) {  // step by step, recorded, and once more
      all.run();
      for (int64_t i = 0; i < n; ++i) {
        std::memcpy(one.in[0].data, x + i * 4 * 64, 4 * 4 * 64);
        one.run();
        for (size_t o = 0; o < one.out.size(); ++o) {
          const int64_t elements = one.out[o].count();
          EXPECT_EQ(std::memcmp(one.out[o].data, static_cast<float*>(all.out[o].data) + i * elements,
                                static_cast<size_t>(4 * elements)),
                    0)
              << "output " << o << ", image " << i << " of " << n << ", run " << run;
        }
      }
    }
    const MemoryNeeds needs = memory_needs(*all.spec);
    EXPECT_LE(needs.buffers[1], needs.arena[1]);
    int64_t bytes = 0;
    for (const Step& s : all.spec->plan().run_steps) {
      if (all.spec->shared(s)) EXPECT_EQ(s.node->origin[0], "wide");
      bytes += all.spec->shared(s);
    }
    return bytes;
  }
  // An image's result ends where the next one's input begins, which has 8 channels.
  static int64_t most(int64_t n) { return (n - 1) * 8 * 4 * 64; }
};

TEST_P(Overlap, LiesWhereTheInputWas) {
  for (int64_t n : {1, 2, 5}) EXPECT_EQ(shared(kWide, n), most(n)) << n;
}

TEST_P(Overlap, WaitsForWhoNeedsTheInputAgain) {
  for (int64_t n : {1, 2, 5}) EXPECT_EQ(shared(changed(kWide, "Relu(%c)", "Add(%c, %a)"), n), 0) << n;
}

TEST_P(Overlap, LeavesTheInputToWhoRunsBeside) { EXPECT_EQ(shared(kReadBeside, 8), most(8)); }

INSTANTIATE_TEST_SUITE_P(Whenever, Overlap, testing::Bool(),
                         [](const auto& early) { return early.param ? "AsEarlyAsCanBe" : "AsLateAsCanBe"; });

TEST(DeviceSteps, AreRangesToProfilers) {
  Rig rig(kAdd);
  EXPECT_THAT(traced([&] { rig.run(); }), ElementsAre("begin run", "begin input", "end", "begin double", "end",
                                                      "begin rectify", "end", "end", "begin outputs", "end"));
  EXPECT_THAT(traced([&] { rig.run(); }),  // recorded
              ElementsAre("begin run", "begin input", "end", "begin segment of double", "begin double", "end",
                          "begin rectify", "end", "end", "end", "begin outputs", "end"));
  EXPECT_THAT(traced([&] { rig.run(); }), ElementsAre("begin run", "begin input", "end", "begin segment of double",
                                                      "end", "end", "begin outputs", "end"));
  for (const char* text : {kMixed, kDetect, kBranches}) {
    Rig other(text);
    int open = 0;
    for (const std::string& line : traced([&] { other.run(), other.run(), other.run(); })) {
      open += line == "end" ? -1 : line.starts_with("begin ") ? 1 : 0;
      EXPECT_GE(open, 0) << text;
    }
    EXPECT_EQ(open, 0) << text;
  }
}

TEST(DeviceSteps, EndTheirRangesWhereARunFails) {
  Rig rig(kAdd);
  rig.executor.check_finite = true;
  static_cast<float*>(rig.in[0].data)[3] = NAN;
  const auto lines = traced([&] { EXPECT_FALSE(rig.executor.run(rig.in, rig.out).ok()); });
  EXPECT_EQ(std::ranges::count(lines, "end"), std::ssize(lines) - std::ranges::count(lines, "end"));
}

TEST(DeviceInputs, InPageableMemoryGoByWayOfPinnedMemory) {
  Rig rig(kAdd);
  auto* x = static_cast<float*>(rig.in[0].data);
  for (int run = 0; run < 3; ++run) {
    for (int i = 0; i < 8; ++i) x[i] = static_cast<float>(i + run);
    EXPECT_THAT(traced([&] {
                  ASSERT_TRUE(rig.executor.enqueue(rig.in).ok());
                  for (int i = 0; i < 8; ++i) x[i] = -1;  // the caller's again
                  ASSERT_TRUE(rig.executor.finish(rig.out).ok());
                }),
                testing::Not(testing::Contains("pageable")));
    for (int i = 0; i < 8; ++i) EXPECT_EQ(rig.out[0].as<float>()[i], static_cast<float>(2 * (i + run)));
    EXPECT_EQ(rig.executor.counts().synchronisations, 1);
    if (run > 1) {
      EXPECT_EQ(rig.executor.counts().made.total(), 0);
    }
  }
}

// Nobody has waited for the last run: its input is still on its way.
TEST(DeviceInputs, OnTheirWayAreNotOverwritten) {
  Rig rig(kAdd);
  for (int run = 0; run < 3; ++run) {
    auto* x = static_cast<float*>(rig.in[0].data);
    x[0] = 5;
    ASSERT_TRUE(rig.executor.enqueue(rig.in).ok());
    x[0] = 6;
    ASSERT_TRUE(rig.executor.enqueue(rig.in).ok());
    EXPECT_EQ(rig.executor.counts().synchronisations, 1);
    ASSERT_TRUE(rig.executor.finish(rig.out).ok());
    EXPECT_EQ(rig.out[0].as<float>()[0], 12);
  }
}

TEST(DeviceInputs, InPinnedMemoryAreReadWhereTheyAre) {
  Rig rig(kAdd);
  const DeviceMemory pinned = *(*open_device("fake:0"))->allocate(8 * 4, DeviceMemory::Kind::kPinned);
  std::memset(pinned.data(), 0, 8 * 4);
  rig.in[0].data = pinned.data();
  ASSERT_TRUE(rig.executor.enqueue(rig.in).ok());
  reinterpret_cast<float*>(pinned.data())[0] = 4;  // seen, since nobody has copied it yet
  ASSERT_TRUE(rig.executor.finish(rig.out).ok());
  EXPECT_EQ(rig.out[0].as<float>()[0], 8);
}

TEST(DeviceInputs, CountAsStaging) {
  Rig rig(kAdd, 8);
  const MemoryNeeds needs = memory_needs(*rig.spec);
  EXPECT_EQ(needs.staging, 2 * 8 * 4 * 4);  // the input, and the output
}

}  // namespace
}  // namespace fovea::core

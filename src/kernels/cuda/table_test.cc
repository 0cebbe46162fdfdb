// What the table promises, without a GPU: every row takes a case that rows_test.cc runs, or has a test of its own.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "base/file.h"
#include "kernels/cuda/row_cases.h"
#include "kernels/cuda/table.h"

namespace fovea::core {
namespace {

constexpr uint32_t kSeed = 20260;  // rows_test.cc's

const std::map<std::string_view, const KernelRow*>& rows_by_symbol() {
  static const std::map<std::string_view, const KernelRow*> rows = {
#define FOVEA_KERNEL(symbol, family, file) {#symbol, &kernel_##symbol},
#include "kernels/cuda/kernels.inc"
#undef FOVEA_KERNEL
  };
  return rows;
}

// As try_rows() of rows_test.cc asks. There is a format for each input and output, which prepare() relies on.
bool takes(const KernelRow& row, const rows::Case& c) {
  if (row.op != c.anchor->op->name) return false;
  bool any = false;
  for (const Group& group : row.match(*c.graph, *c.anchor)) {
    EXPECT_FALSE(group.nodes.empty());
    if (row.refuse && !row.refuse(group).empty()) continue;
    for (const FormatChoice& formats : formats_of(row, group)) {
      EXPECT_EQ(formats.inputs.size(), group.inputs.size());
      EXPECT_EQ(formats.outputs.size(), group.outputs.size());
      for (const Format& f : formats.outputs) EXPECT_EQ(f.place, Place::kDevice);
      any = true;
    }
  }
  return any;
}

// Rows that tests other than that of the cases name: kernel_<symbol> in an x_cuda_test.cc.
std::string device_tests() {
  std::string text;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(FOVEA_SOURCE_DIR "/src/kernels/cuda")) {
    if (!entry.path().filename().string().ends_with("_cuda_test.cc")) continue;
    auto read = read_file(entry.path());
    EXPECT_TRUE(read.ok()) << entry.path();
    if (read.ok()) text += *read;
  }
  return text;
}
bool names(const std::string& text, std::string_view symbol) {
  const std::string name = fmt::format("kernel_{}", symbol);
  for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const size_t end = at + name.size();
    if (end == text.size() || (!std::isalnum(static_cast<unsigned char>(text[end])) && text[end] != '_')) return true;
  }
  return false;
}

TEST(CudaTable, EveryRowIsTested) {
  if (!std::filesystem::is_directory(FOVEA_SOURCE_DIR "/src/kernels/cuda"))
    GTEST_SKIP() << "the tests' sources, which it looks through, are not on this machine";
  auto idle = rows_by_symbol();
  ASSERT_EQ(idle.size(), cuda_kernels().size());
  for (std::string_view line : rows::kCudaCases) {
    SCOPED_TRACE(line);
    auto c = rows::parse_case(line, kSeed);
    ASSERT_TRUE(c.ok()) << c.status().message();
    const auto taken = [&](const auto& row) { return takes(*row.second, *c); };
    std::erase_if(idle, taken);
    rows::allow_half(*c->graph);
    std::erase_if(idle, taken);
    rows::allow_tf32(*c->graph);
    std::erase_if(idle, taken);
  }
  const std::string tests = device_tests();
  std::erase_if(idle, [&](const auto& row) { return names(tests, row.first); });
  for (const auto& [symbol, row] : idle)
    ADD_FAILURE() << symbol << " takes no case of row_cases*.inc, and no x_cuda_test.cc names kernel_" << symbol;
}

TEST(CudaTable, RowsAreWhatTheirPlaceAsks) {
  std::set<std::string_view> names_seen;
  for (const KernelRow* row : cuda_kernels()) {
    SCOPED_TRACE(row->name);
    EXPECT_TRUE(names_seen.insert(row->name).second) << "two rows have this name";
    EXPECT_EQ(row->place, Place::kDevice);
    EXPECT_TRUE(row->match && row->prepare);
    EXPECT_NE(find_op(row->op), nullptr) << row->op << " is no operator";
  }
}

}  // namespace
}  // namespace fovea::core

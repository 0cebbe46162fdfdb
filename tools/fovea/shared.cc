#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "verbs.h"

namespace fovea::core::tool {

void Progress::show(std::string_view what, int done, int total) {
  if (!::isatty(STDERR_FILENO) || total <= 0) return;
  const int percent = static_cast<int>(100LL * done / total);
  if (percent == last_ && what == last_what_) return;
  last_ = percent, last_what_ = what, shown_ = true;
  constexpr int kWidth = 30;
  const int filled = percent * kWidth / 100;
  std::string bar(static_cast<size_t>(filled), '#');
  bar.resize(kWidth, ' ');
  std::fprintf(stderr, "\r\x1b[2K%s [%s] %3d%%", last_what_.c_str(), bar.c_str(), percent);
  std::fflush(stderr);
}

void Progress::clear() {
  if (shown_) std::fprintf(stderr, "\r\x1b[2K");
  shown_ = false;
}

LogSink stderr_log(bool verbose) {
  return [verbose](LogLevel level, std::string_view text) {
    if (level == LogLevel::kWarning) std::fprintf(stderr, "fovea: warning: %.*s\n", static_cast<int>(text.size()), text.data());
    else if (verbose) std::fprintf(stderr, "fovea: %.*s\n", static_cast<int>(text.size()), text.data());
  };
}

Result<SymbolValues> parse_sizes(const std::string& text) {
  SymbolValues sizes;
  size_t at = 0;
  while (at <= text.size()) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string item = text.substr(at, end - at);
    const size_t equals = item.find('=');
    int64_t value = 0;
    const char* first = item.data() + equals + 1;
    const char* last = item.data() + item.size();
    if (equals == std::string::npos || equals == 0 || std::from_chars(first, last, value).ptr != last || first == last || value < 1)
      return invalid_argument("--shapes: expected NAME=SIZE[,NAME=SIZE...], found '{}'", text);
    sizes[item.substr(0, equals)] = value;
    at = end + 1;
  }
  return sizes;
}

}  // namespace fovea::core::tool

// Where messages for people go. The library never writes to stderr itself: a sink is handed in.
#pragma once

#include <functional>
#include <string_view>

namespace fovea::core {

enum class LogLevel { kDebug, kInfo, kWarning };
using LogSink = std::function<void(LogLevel, std::string_view)>;

}  // namespace fovea::core

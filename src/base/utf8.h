#pragma once

#include <string_view>

namespace fovea::core {

// Whether every byte belongs to a well-formed character: no overlong form, no surrogate, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace fovea::core

// The fixed header of a .fov file, little-endian.
#pragma once

#include <cstdint>

namespace fovea::core {

struct EngineHeader {
  char magic[8];  // "\x89" "FOV\r\n\x1a\n": a transfer that changes line ends or drops the eighth bit shows
  uint32_t format;
  uint32_t header_size;
  uint64_t structure_size;
  uint64_t weights_offset, weights_size;
  uint64_t structure_hash, weights_hash;  // XXH3
  uint64_t header_hash;                   // XXH3 of the bytes before
};
static_assert(sizeof(EngineHeader) == 64);

inline constexpr char kEngineMagic[8] = {'\x89', 'F', 'O', 'V', '\r', '\n', '\x1a', '\n'};

}  // namespace fovea::core

#include "kernels/prebuild.h"

#include <exception>

#include "base/parallel.h"

namespace fovea::core {

void prebuild_all(std::vector<Prebuild> work, const std::function<void(int done)>& progress) {
  side_by_side(
      work.size(),
      [&](size_t i) {
        try {
          work[i].row->prebuild(work[i].context);
        } catch (const std::exception&) {  // memory that cannot be had: prepare() will say so
        }
      },
      progress);
}

}  // namespace fovea::core

// What lies where in one of a specialisation's arenas: buffers, and the workspaces of its kernels. Which steps run
// beside others and which outputs reach into an input is decided with it: both are questions of room.
#pragma once

#include "runtime/specialisation.h"

namespace fovea::core {

class ArenaLayout {
 public:
  // When all kernels are prepared.
  ArenaLayout(Specialisation& s, Place place);
  // Notes in the specialisation how large the arena is, where workspaces lie, who runs beside and what is shared; in
  // `offset`, by buffer, where the buffers lie.
  Status run(std::vector<int64_t>& offset);

 private:
  using Window = Specialisation::Window;
  struct Owner {
    bool is_buffer;
    int index;  // the buffer, or the step whose workspace it is
  };

  void collect_buffers();
  void collect_workspaces(std::span<const Step> steps);
  Status check_sizes() const;

  int64_t place_overlapping();
  bool let_overlap(const Step& step, std::vector<Interval>& intervals) const;
  int interval_of(int tensor) const;
  void note_shared();

  int64_t place_beside(int64_t least);
  void lengthen(const Step& step, Window window, std::vector<Interval>& intervals) const;
  std::vector<Window> windows_of(const Step& step) const;

  Specialisation& s_;
  const Plan& plan_;
  const Place place_;
  std::vector<Interval> intervals_;
  std::vector<Owner> owner_;  // by interval
};

}  // namespace fovea::core

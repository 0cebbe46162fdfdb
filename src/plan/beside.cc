// Steps of a device that need not wait for their turn: a detector's heads beside the layers that follow, on small
// batches a third of its time.
#include <algorithm>
#include <map>

#include "kernels/kernel.h"
#include "plan/plan.h"

namespace fovea::core {
namespace {

size_t idx(int i) { return static_cast<size_t>(i); }

struct Touch {
  int position = 0;
  bool writes = false;
  const Step* step = nullptr;
};

class Finder {
 public:
  explicit Finder(Plan& plan) : plan_(plan), touches_(plan.buffers.size()) {
    look(plan_.run_steps);
    for (auto s = plan_.run_steps.rbegin(); s != plan_.run_steps.rend(); ++s) {
      int& behind = behind_[s->position];
      each_buffer(s->outputs, [&](int b) {
        for (const Touch& t : touches_[idx(b)])
          if (t.position > s->position) behind = std::max(behind, behind_[t.position] + 1);
      });
    }
  }

  void run() {
    for (Step& s : plan_.run_steps)
      if (pays(s) && between(s) && any_in_turn(s)) beside_.push_back(&s);
      else s.after = s.before = -1;
  }

 private:
  int buffer_of(int tensor) const {
    if (tensor < 0 || plan_.tensors[idx(tensor)].home != PlanTensor::Home::kBuffer) return -1;
    const int buffer = plan_.tensors[idx(tensor)].buffer;
    return plan_.buffers[idx(buffer)].shape_phase ? -1 : buffer;
  }
  template <typename F>
  void each_buffer(const std::vector<int>& tensors, const F& f) const {
    for (int t : tensors)
      if (const int b = buffer_of(t); b >= 0) f(b);
  }

  void look(const std::vector<Step>& steps) {
    for (const Step& s : steps) {
      each_buffer(s.inputs, [&](int b) { touches_[idx(b)].push_back({s.position, false, &s}); });
      each_buffer(s.outputs, [&](int b) { touches_[idx(b)].push_back({s.position, true, &s}); });
      for (const auto& branch : s.branches) look(branch);
    }
  }

  // What keeps matrix units busy; another stream costs about as much as a small kernel takes.
  bool pays(const Step& s) const {
    if (s.kind != Step::Kind::kGroup || s.place != Place::kDevice || s.choice < 0 || s.dynamic || s.sizes >= 0)
      return false;
    const Node& first = *plan_.assignment.groups[idx(s.choice)].group.nodes[0];
    return first.is("Conv");
  }

  // From the last step that writes what it reads to the first one that touches what it writes. Nothing in between may
  // write what it reads, and it may not continue what others have begun.
  bool between(Step& s) const {
    s.after = -1, s.before = plan_.positions;
    bool can = true;
    each_buffer(s.outputs, [&](int b) {
      for (const Touch& t : touches_[idx(b)]) {
        if (t.step == &s) continue;
        if (t.position < s.position) can = false;
        else s.before = std::min(s.before, t.position);
      }
    });
    each_buffer(s.inputs, [&](int b) {
      for (const Touch& t : touches_[idx(b)]) {
        if (!t.writes) continue;
        if (t.step == &s || (t.position > s.position && t.position < s.before)) can = false;
        else if (t.position < s.position && std::ranges::count(beside_, t.step) > 0) can = false;
        else if (t.position < s.position) s.after = std::max(s.after, t.position);
      }
    });
    return can;
  }

  // Is there anything meanwhile in its turn for which as much waits as for this one?
  bool any_in_turn(const Step& s) const {
    return std::ranges::any_of(plan_.run_steps, [&](const Step& t) {
      return &t != &s && t.position > s.after && t.position < s.before && t.place == Place::kDevice &&
             t.kind == Step::Kind::kGroup && behind_.at(t.position) >= behind_.at(s.position) &&
             std::ranges::count(beside_, &t) == 0;
    });
  }

  Plan& plan_;
  std::vector<std::vector<Touch>> touches_;  // by buffer
  std::map<int, int> behind_;                // by position: steps one behind the other that wait for this one
  std::vector<const Step*> beside_;
};

}  // namespace

void find_beside(Plan& plan) { Finder(plan).run(); }

}  // namespace fovea::core

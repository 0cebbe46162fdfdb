#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include <fmt/ranges.h>

#include "base/file.h"
#include "eval/results.h"
#include "picture/detector.h"
#include "picture/draw.h"
#include "run.h"
#include "verbs.h"

namespace fovea::core::tool {
namespace {

struct Picture {
  std::string path, name;  // name: without folders
  int64_t id = 0;          // COCO's image_id
  std::string drawn{};     // where it goes with boxes on it; empty: nowhere
};

std::string lower_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension;
}

// Folders stand for the pictures in them, in order of their names.
Result<std::vector<std::string>> expand(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
      const std::string extension = lower_extension(entry.path());
      if (extension == ".jpg" || extension == ".jpeg" || extension == ".png") found.push_back(entry.path().string());
    }
    if (found.empty()) return invalid_argument("{}: expected a folder with .jpg or .png pictures, found none", path);
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

// The id by name where the labels know the name, else by the number in it.
Status identify(std::vector<Picture>& pictures, const CocoLabels* labels, const std::string& labels_path) {
  std::set<int64_t> known;
  std::map<std::string, int64_t, std::less<>> by_name;
  if (labels)
    for (const CocoImage& image : labels->images) {
      known.insert(image.id);
      if (!image.file_name.empty()) by_name.emplace(image.file_name, image.id);
    }
  for (size_t i = 0; i < pictures.size(); ++i) {
    Picture& p = pictures[i];
    p.id = labelled_id(by_name, p.path).value_or(image_id_of(p.path, static_cast<int64_t>(i)));
    if (labels && !known.contains(p.id))
      return invalid_argument("{}: {} has no picture of this name, and none of image_id {}", p.path, labels_path, p.id);
  }
  return {};
}

void warn_of_equal_ids(const std::vector<Picture>& pictures, const LogSink& log) {
  std::map<int64_t, const Picture*> seen;
  for (const Picture& p : pictures)
    if (const auto [it, fresh] = seen.emplace(p.id, &p); !fresh)
      return log(LogLevel::kWarning,
                 fmt::format("image_id {} stands for several pictures: {} and {}", p.id, it->second->path, p.path));
}

// Two pictures of one name must not overwrite each other where they are drawn, and none may overwrite what was given.
Status name_drawings(std::vector<Picture>& pictures, const std::string& folder) {
  using FileId = std::pair<dev_t, ino_t>;
  auto file_id = [](const std::string& path) {
    struct stat st {};
    return ::stat(path.c_str(), &st) == 0 ? std::optional<FileId>({st.st_dev, st.st_ino}) : std::nullopt;
  };
  std::map<FileId, const Picture*> given;
  for (const Picture& p : pictures)
    if (const auto id = file_id(p.path)) given.emplace(*id, &p);
  std::set<std::string> used;
  for (Picture& p : pictures) {
    p.drawn = folder + "/" + unused_name(p.name, used);
    const auto id = file_id(p.drawn);
    if (const auto it = id ? given.find(*id) : given.end(); it != given.end())
      return invalid_argument("--draw {}: would overwrite the picture {}: give another folder", folder,
                              it->second->path);
  }
  return {};
}

void print_table(std::span<const PictureDetections> results, std::span<const double> ms, const RunOptions& o,
                 const ClassesCard& classes) {
  size_t width = 7;
  for (const PictureDetections& p : results) width = std::max(width, p.file_name.size());
  const int w = static_cast<int>(width);
  std::printf("%-*s  objects      ms  best first, above %.2f\n", w, "picture", o.min_score);
  for (size_t i = 0; i < results.size(); ++i) {
    std::string names;
    int objects = 0;
    for (const Detection& d : results[i].detections) {
      if (d.score < o.min_score) continue;
      if (++objects <= 5)
        names += fmt::format("{}{} {:.2f}", objects > 1 ? ", " : "", class_name(classes, d.label), d.score);
      else if (objects == 6) names += ", ...";
    }
    std::printf("%-*s  %7d  %6.1f  %s\n", w, results[i].file_name.c_str(), objects, ms[i], names.c_str());
  }
}

// Each detector, in a thread of its own, takes batches of the pictures while there are any: work(detector, first, end).
// The failure that is returned is that of the earliest batch.
template <typename Work>
Status in_batches(std::span<const std::unique_ptr<Detector>> detectors, size_t pictures, size_t batch,
                  Progress& progress, Work&& work) {
  std::mutex mutex;  // of what follows
  size_t next = 0, done = 0, failed = pictures;
  Status status;
  auto take_batches = [&](Detector& detector) {
    while (true) {
      size_t at, end;
      {
        std::lock_guard lock(mutex);
        if (next >= failed) return;
        at = next, end = next = std::min(at + batch, pictures);
      }
      Status s;
      try {
        s = work(detector, at, end);
      } catch (const std::bad_alloc&) {
        s = system_error("out of memory");
      }
      std::lock_guard lock(mutex);
      done += end - at;
      progress.show("detecting", static_cast<int>(done), static_cast<int>(pictures));
      if (!s.ok() && at < failed) failed = at, status = std::move(s);
    }
  };
  std::vector<std::thread> team;
  for (size_t i = 1; i < detectors.size(); ++i) team.emplace_back(take_batches, std::ref(*detectors[i]));
  take_batches(*detectors[0]);
  for (std::thread& t : team) t.join();
  return status;
}

Status draw(const RunOptions& o, Image image, const Picture& picture, const PictureDetections& result,
            const ClassesCard& classes) {
  std::vector<Detection> shown;
  for (const Detection& d : result.detections)
    if (d.score >= o.min_score) shown.push_back(d);
  FOVEA_TRY(draw_detections(image, shown, classes));
  return write_image(picture.drawn, image,
                     lower_extension(picture.path) == ".png" ? PictureFormat::kPng : PictureFormat::kJpeg);
}

// Pictures that were not run do not count as missed.
Status print_precision(CocoLabels labels, std::span<const PictureDetections> results, const ClassesCard& classes,
                       const std::string& path) {
  std::set<int64_t> ids;
  for (const PictureDetections& p : results) ids.insert(p.image_id);
  const size_t labelled = labels.images.size();
  std::erase_if(labels.images, [&](const CocoImage& image) { return !ids.contains(image.id); });
  FOVEA_TRY_SET(CocoResult r, evaluate(labels, to_coco(results, classes)));
  std::printf("mAP@[.5:.95] %.4f  AP50 %.4f  AP75 %.4f  (%zu of %zu labelled pictures, labels of %s)\n", r.ap, r.ap50,
              r.ap75, labels.images.size(), labelled, path.c_str());
  return {};
}

}  // namespace

Status run_pictures(const RunOptions& o) {
  // What can be wrong is looked at before the long work.
  FOVEA_TRY_SET(std::vector<std::string> paths, expand(o.pictures));
  std::vector<Picture> pictures;
  pictures.reserve(paths.size());
  for (const std::string& path : paths)
    pictures.push_back({.path = path, .name = std::filesystem::path(path).filename().string()});
  std::optional<CocoLabels> labels;
  if (!o.labels.empty()) {
    FOVEA_TRY_SET(labels, read_coco_labels(o.labels));
  }
  FOVEA_TRY(identify(pictures, labels ? &*labels : nullptr, o.labels));
  if (labels || !o.json.empty()) warn_of_equal_ids(pictures, stderr_log(o.verbose));
  if (!o.draw.empty()) FOVEA_TRY(name_drawings(pictures, o.draw));
  if (!o.json.empty()) FOVEA_TRY(check_writable(o.json));
  FOVEA_TRY_SET(const Engines engines, open_engines(o.engine, o.device, o.threads, o.verbose));
  std::vector<std::unique_ptr<Detector>> detectors;
  for (const auto& engine : engines) {
    FOVEA_TRY_SET(auto detector, Detector::make(engine));
    detector->check_finite = o.check;
    detectors.push_back(std::move(detector));
  }
  if (!o.draw.empty()) FOVEA_TRY(make_folder(o.draw));

  const ClassesCard& classes = detectors[0]->card().classes;
  std::vector<PictureDetections> results(pictures.size());
  std::vector<double> ms(pictures.size());
  Progress progress;
  const auto batch = static_cast<size_t>(std::clamp<int64_t>(o.batch, 1, detectors[0]->max_batch()));
  auto detect = [&](Detector& detector, size_t at, size_t end) -> Status {
    std::vector<Image> images;
    for (size_t i = at; i < end; ++i) {
      FOVEA_TRY_SET(Image image, read_image(pictures[i].path));
      images.push_back(std::move(image));
    }
    const std::vector<PictureView> views(images.begin(), images.end());
    auto found = detector.detect(views, static_cast<int64_t>(batch));
    if (!found.ok())
      return found.status().in(fmt::format("{}", fmt::join(std::span(paths).subspan(at, end - at), ", ")));
    const Detector::Timing& t = detector.timing();
    for (size_t i = at; i < end; ++i) {
      results[i] = {pictures[i].name, pictures[i].id, std::move((*found)[i - at])};
      ms[i] = (t.preprocess + t.network + t.boxes) / static_cast<double>(end - at);
      if (!o.draw.empty()) FOVEA_TRY(draw(o, std::move(images[i - at]), pictures[i], results[i], classes));
    }
    return {};
  };
  FOVEA_TRY(in_batches(detectors, pictures.size(), batch, progress, detect));
  Progress::clear();
  print_table(results, ms, o, classes);
  if (!o.json.empty()) FOVEA_TRY(write_file(o.json, detections_to_json(results, classes)));
  if (labels) FOVEA_TRY(print_precision(*std::move(labels), results, classes, o.labels));
  return {};
}

}  // namespace fovea::core::tool

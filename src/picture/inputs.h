// What a network's inputs are given besides pixels: sizes that the model leaves open, and values by the card's roles.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "picture/card.h"
#include "tactics/sizes.h"

namespace fovea::core {

// Axes of the picture input; the batch is axis 0 where the rank is 4.
struct PictureAxes {
  size_t rank, channels, height, width;
};
PictureAxes picture_axes(PictureLayout layout);

// The axis that counts the pictures of a run: of the card's picture input; without a card (null), of the first input
// of rank 4. Null if there is none.
const Dim* batch_axis(const Graph& graph, const ModelCard* card);

// Names a size for every open axis of the inputs that `sizes` does not name: `batch` for the pictures; what the card
// makes of a picture of 640 x 640 for its sides; 640 for the rest; all within the model's bounds.
void add_usual_sizes(const Graph& graph, const ModelCard* card, int64_t batch, SymbolValues& sizes);

// Inputs to measure and compare with. With a card those beside the picture are what they would be for pictures that
// need no resizing; others are random around 0, as normalised pictures are, or zero where they are no floats.
Result<std::vector<std::shared_ptr<Tensor>>> example_inputs(const Graph& graph, const ModelCard* card,
                                                            const Sizes& sizes, unsigned seed);

// Shape and elements of an input beside the picture, for a batch of pictures of these geometries, which agree on the
// network's size.
std::vector<int64_t> role_shape(const InputCard& card, const Shape& shape, int64_t rows, const ResizeGeometry& picture);
std::vector<double> role_values(const InputCard& card, std::span<const int64_t> shape,
                                std::span<const ResizeGeometry> batch);
// The card's section for an input, or null.
const InputCard* find_input_card(const ModelCard& card, std::string_view input);

}  // namespace fovea::core

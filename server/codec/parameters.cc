#include "server/codec/parameters.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/wire/tensor.h"
#include "server/names.h"

namespace emserve::server {
namespace {

template <typename Shape>
std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

std::string Names(const Layout& layout) {
  return absl::StrJoin(layout.arrays(), ", ", [](std::string* out, const ArraySpec& array) {
    absl::StrAppend(out, array.name, " ", ShapeText(array.shape));
  });
}

}  // namespace

absl::StatusOr<std::vector<double>> DecodeParameters(const v1::Parameters& parameters,
                                                     const Layout& layout,
                                                     const std::string& path) {
  const size_t wanted = layout.arrays().size();
  if (static_cast<size_t>(parameters.arrays_size()) != wanted) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".arrays: got ", parameters.arrays_size(),
                                                   " arrays, must be ", wanted, ": ",
                                                   Names(layout)));
  }
  // Shapes first, so that nothing is allocated for a layout that the request does not fill.
  std::vector<const v1::Tensor*> tensors(wanted, nullptr);
  for (int i = 0; i < parameters.arrays_size(); ++i) {
    const v1::NamedTensor& array = parameters.arrays(i);
    const std::string here = absl::StrCat(path, ".arrays[", i, "]");
    const ArraySpec* spec = layout.Find(array.name());
    if (spec == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(here, ".name: got ", Shown(array.name()),
                                                     ", must be one of ", Names(layout)));
    }
    const v1::Tensor*& slot = tensors[static_cast<size_t>(spec - layout.arrays().data())];
    if (slot != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(here, ".name: got ", Shown(array.name()), " again, must be given once"));
    }
    if (!std::equal(array.tensor().shape().begin(), array.tensor().shape().end(),
                    spec->shape.begin(), spec->shape.end())) {
      return absl::InvalidArgumentError(
          absl::StrCat(here, ".tensor.shape: got ", ShapeText(array.tensor().shape()), ", must be ",
                       ShapeText(spec->shape), " for ", array.name()));
    }
    slot = &array.tensor();
  }
  std::vector<std::vector<double>> decoded;
  for (size_t a = 0; a < wanted; ++a) {
    absl::StatusOr<std::vector<double>> values =
        DecodeTensor(*tensors[a], absl::StrCat(path, ".", layout.arrays()[a].name));
    if (!values.ok()) return values.status();
    decoded.push_back(*std::move(values));
  }
  std::vector<double> theta(static_cast<size_t>(layout.size()));
  for (size_t a = 0; a < wanted; ++a) {
    std::copy(decoded[a].begin(), decoded[a].end(), theta.begin() + layout.arrays()[a].offset);
  }
  return theta;
}

void EncodeParameters(std::span<const double> theta, const Layout& layout,
                      v1::Parameters& parameters) {
  for (const ArraySpec& array : layout.arrays()) {
    v1::NamedTensor& named = *parameters.add_arrays();
    named.set_name(array.name);
    EncodeTensor(Layout::View(theta, array), array.shape, /*packed=*/false,
                 *named.mutable_tensor());
  }
}

}  // namespace emserve::server

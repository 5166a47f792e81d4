#include "proto/wire/tensor.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

static_assert(std::endian::native == std::endian::little, "packed bytes are little-endian");

constexpr int64_t kMaxElements = int64_t{1} << 53;

template <typename T>
void Widen(const std::string& data, std::vector<double>& out) {
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, data.data() + i * sizeof(T), sizeof(T));
    out[i] = static_cast<double>(value);
  }
}

}  // namespace

int64_t WireElementSize(v1::ElementType type) {
  switch (type) {
    case v1::ELEMENT_TYPE_UNSPECIFIED:
    case v1::ELEMENT_TYPE_FLOAT64:
    case v1::ELEMENT_TYPE_INT64:
      return 8;
    case v1::ELEMENT_TYPE_FLOAT32:
      return 4;
    default:
      return 0;
  }
}

absl::StatusOr<int64_t> NumElements(std::span<const int64_t> shape, const std::string& path) {
  int64_t product = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ".shape[", i, "]: got ", shape[i], ", must be 0 or more"));
    }
    if (__builtin_mul_overflow(product, shape[i], &product) || product > kMaxElements) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ".shape: got more than 2^53 elements, must be fewer"));
    }
  }
  return product;
}

absl::StatusOr<std::vector<double>> DecodeTensor(const v1::Tensor& tensor,
                                                 const std::string& path) {
  const std::span<const int64_t> shape(tensor.shape().data(),
                                       static_cast<size_t>(tensor.shape_size()));
  const absl::StatusOr<int64_t> count = NumElements(shape, path);
  if (!count.ok()) return count.status();
  if (!tensor.data().empty() && tensor.values_size() > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": got both values and data, must be one of them"));
  }
  if (tensor.data().empty()) {
    if (tensor.values_size() != *count) {
      return absl::InvalidArgumentError(absl::StrCat(path, ".values: got ", tensor.values_size(),
                                                     " elements, must be ", *count,
                                                     ", the product of the shape"));
    }
    return std::vector<double>(tensor.values().begin(), tensor.values().end());
  }
  const int64_t size = WireElementSize(tensor.element_type());
  if (size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".element_type: got ",
                                                   static_cast<int>(tensor.element_type()),
                                                   ", must be a known element type"));
  }
  // No overflow: count <= 2^53 and size <= 8.
  if (static_cast<int64_t>(tensor.data().size()) != *count * size) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".data: got ", tensor.data().size(),
                                                   " bytes, must be ", *count * size,
                                                   ": the product of the shape times ", size));
  }
  std::vector<double> values(static_cast<size_t>(*count));
  switch (tensor.element_type()) {
    case v1::ELEMENT_TYPE_FLOAT32:
      Widen<float>(tensor.data(), values);
      break;
    case v1::ELEMENT_TYPE_INT64:
      Widen<int64_t>(tensor.data(), values);
      break;
    default:
      Widen<double>(tensor.data(), values);
  }
  return values;
}

void EncodeTensor(std::span<const double> values, std::span<const int64_t> shape, bool packed,
                  v1::Tensor& tensor) {
  tensor.mutable_shape()->Assign(shape.begin(), shape.end());
  if (packed) {
    tensor.set_element_type(v1::ELEMENT_TYPE_FLOAT64);
    tensor.set_data(values.data(), values.size_bytes());
  } else {
    tensor.mutable_values()->Assign(values.begin(), values.end());
  }
}

void EncodeTensor(std::span<const int64_t> values, std::span<const int64_t> shape, bool packed,
                  v1::Tensor& tensor) {
  tensor.mutable_shape()->Assign(shape.begin(), shape.end());
  if (packed) {
    tensor.set_element_type(v1::ELEMENT_TYPE_INT64);
    tensor.set_data(values.data(), values.size_bytes());
  } else {
    tensor.mutable_values()->Assign(values.begin(), values.end());
  }
}

}  // namespace emserve

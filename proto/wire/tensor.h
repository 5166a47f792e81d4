// Tensors and inline tables: checked views of their elements, and encoders.
#ifndef EMSERVE_PROTO_WIRE_TENSOR_H_
#define EMSERVE_PROTO_WIRE_TENSOR_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "emserve/v1/tensor.pb.h"

namespace emserve {

// Bytes of one element; 0 for a value that is no ElementType. Unspecified is float64.
int64_t WireElementSize(v1::ElementType type);

// Product of `shape`; InvalidArgument ("<path>.shape[i]: ...") for a negative extent or a product
// over 2^53.
absl::StatusOr<int64_t> NumElements(std::span<const int64_t> shape, const std::string& path);

// The elements of `tensor` as doubles, after checking that the shape matches the bytes or values.
// `path` names the tensor in errors (InvalidArgument). O(elements).
absl::StatusOr<std::vector<double>> DecodeTensor(const v1::Tensor& tensor, const std::string& path);

// A float64 tensor of `shape`. `packed` chooses `data` over `values`; the bits are the same.
// Precondition: the product of shape is values.size().
void EncodeTensor(std::span<const double> values, std::span<const int64_t> shape, bool packed,
                  v1::Tensor& tensor);

// An integer tensor: packed int64 `data`, or `values` when not packed (exact up to 2^53).
void EncodeTensor(std::span<const int64_t> values, std::span<const int64_t> shape, bool packed,
                  v1::Tensor& tensor);

}  // namespace emserve

#endif  // EMSERVE_PROTO_WIRE_TENSOR_H_

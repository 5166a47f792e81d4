// Emissions: v1.EmissionSpec to core's EmissionOptions and back.
#ifndef EMSERVE_SERVER_CODEC_EMISSION_SPEC_H_
#define EMSERVE_SERVER_CODEC_EMISSION_SPEC_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/families.h"
#include "emserve/v1/model_spec.pb.h"

namespace emserve::server {

// The options of `spec`. Absent fields keep core's defaults; ranges are core's to check.
// InvalidArgument under `path`: no emission, an unknown enum value, a product in a product, a
// column in two parts.
absl::StatusOr<EmissionOptions> DecodeEmissionSpec(const v1::EmissionSpec& spec,
                                                   const std::string& path);

// `options` with every field present, but for the columns of a product's parts, which are no
// options.
void EncodeEmissionSpec(const EmissionOptions& options, v1::EmissionSpec& spec);

// Path inside `spec` of what core calls `field` ("ridge", "parts[1].emission.prior.shape"):
// "gaussian.ridge", "product.parts[1].emission.poisson.prior.shape".
std::string EmissionSpecField(const v1::EmissionSpec& spec, std::string_view field);

// The columns of a product's parts, in their order, which is the model's; none for other emissions.
std::vector<std::string> ProductColumns(const v1::EmissionSpec& spec);
// The inverse: gives each part of `options` its number of `columns`, in order.
void SetProductColumns(const EmissionOptions& options, const std::vector<std::string>& columns,
                       v1::EmissionSpec& spec);

v1::Covariance EncodeCovariance(Covariance covariance);

// Whether the emission has a covariance structure; and another one instead, which does nothing if
// it has none.
bool HasCovariance(const v1::EmissionSpec& spec);
void SetCovariance(v1::Covariance covariance, v1::EmissionSpec& spec);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_EMISSION_SPEC_H_

// Model specifications: v1.ModelSpec to core's ModelOptions and back. The one place outside core
// that lists families; a new one adds its translation here.
#ifndef EMSERVE_SERVER_CODEC_MODEL_SPEC_H_
#define EMSERVE_SERVER_CODEC_MODEL_SPEC_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/families.h"
#include "emserve/v1/model_spec.pb.h"

namespace emserve::server {

// The options of `spec`. Absent fields keep core's defaults; ranges are core's to check. `path`
// names the spec in errors (InvalidArgument): a missing structure or emission, an unknown enum
// value.
absl::StatusOr<ModelOptions> DecodeModelSpec(const v1::ModelSpec& spec, const std::string& path);

// `options` with every field present, so that what is stored does not depend on later defaults, but
// for the columns of a product's parts.
void EncodeModelSpec(const ModelOptions& options, v1::ModelSpec& spec);

// Core names fields relative to its options ("emission.ridge"); this is the field's path inside a
// v1.ModelSpec ("mixture.emission.gaussian.ridge"). Empty if `field` is not a field of the options.
std::string ModelSpecField(const ModelOptions& options, std::string_view field);
// Likewise of the options of `spec`.
std::string ModelSpecField(const v1::ModelSpec& spec, std::string_view field);

// The field that holds the number of components or states ("mixture.num_components").
std::string NumComponentsField(const v1::ModelSpec& spec);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_MODEL_SPEC_H_

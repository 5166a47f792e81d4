// Models: the registry's values to messages, and the portable file both ways.
#ifndef EMSERVE_SERVER_CODEC_MODEL_H_
#define EMSERVE_SERVER_CODEC_MODEL_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "emserve/v1/model.pb.h"
#include "server/registry/model_registry.h"

namespace emserve::server {

void EncodeModel(const ModelLine& line, v1::Model& model);
// Without `parameters` the version's arrays are left out, and what is derived from them.
void EncodeModelVersion(const ResolvedVersion& resolved, bool parameters, v1::ModelVersion& out);
void EncodeAuditEntry(const AuditEntry& entry, v1::ModelAuditEntry& out);

// The portable file: eight bytes "EMSERVE1", the payload's length (8 bytes, little-endian), its
// SHA-256 (32 bytes) and the payload, a v1.ModelVersion with everything that does not belong to the
// registry it came from.
std::string EncodeModelFile(const ResolvedVersion& resolved);

// The version in a portable file, ready to be added. The content is hostile until proven otherwise:
// DATA_LOSS for a file that is cut or altered, INVALID_ARGUMENT under "model_version" for a payload
// that is no valid model.
absl::StatusOr<ModelVersion> DecodeModelFile(std::string_view file);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_MODEL_H_

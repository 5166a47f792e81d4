// What the structures of a model have in common, whichever of them it is.
#ifndef EMSERVE_PROTO_WIRE_MODEL_SPEC_H_
#define EMSERVE_PROTO_WIRE_MODEL_SPEC_H_

#include <cstdint>

#include "emserve/v1/model_spec.pb.h"

namespace emserve {

// Whether the structure has an emission, and that emission; an empty one where none is set, and of
// a mutable specification precondition not k-means: without a structure it becomes a mixture.
bool HasEmission(const v1::ModelSpec& spec);
const v1::EmissionSpec& EmissionOf(const v1::ModelSpec& spec);
v1::EmissionSpec& MutableEmissionOf(v1::ModelSpec& spec);

// Another number of components or states. Nothing without a structure.
void SetNumComponents(int32_t num_components, v1::ModelSpec& spec);

}  // namespace emserve

#endif  // EMSERVE_PROTO_WIRE_MODEL_SPEC_H_

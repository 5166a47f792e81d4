// What the structures are called, and how many parameters they have.
#include "core/distribution/structures.h"

namespace emserve {

int64_t StructureParameters(Structure structure, int num_components, int num_columns) {
  const int64_t k = num_components;
  const int64_t d = num_columns;
  const int64_t angles = d * (d - 1) / 2;
  switch (structure) {
    case Structure::kVEI:
      return k + d - 1;
    case Structure::kEVI:
      return 1 + k * (d - 1);
    case Structure::kVEE:
      return k + d - 1 + angles;
    case Structure::kEVE:
      return 1 + k * (d - 1) + angles;
    case Structure::kVVE:
      return k * d + angles;
    case Structure::kEEV:
      return d + k * angles;
    case Structure::kVEV:
      return k + d - 1 + k * angles;
    case Structure::kEVV:
      return 1 + k * (d - 1) + k * angles;
  }
  return 0;
}

const char* StructureName(Structure structure) {
  switch (structure) {
    case Structure::kVEI:
      return "VEI";
    case Structure::kEVI:
      return "EVI";
    case Structure::kVEE:
      return "VEE";
    case Structure::kEVE:
      return "EVE";
    case Structure::kVVE:
      return "VVE";
    case Structure::kEEV:
      return "EEV";
    case Structure::kVEV:
      return "VEV";
    case Structure::kEVV:
      return "EVV";
  }
  return "";
}

bool IsDiagonal(Structure structure) {
  return structure == Structure::kVEI || structure == Structure::kEVI;
}

}  // namespace emserve

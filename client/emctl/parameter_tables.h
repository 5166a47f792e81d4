// The parameters of a model as tables, with the names of components, columns and categories.
#ifndef EMSERVE_CLIENT_EMCTL_PARAMETER_TABLES_H_
#define EMSERVE_CLIENT_EMCTL_PARAMETER_TABLES_H_

#include <string>

#include "emserve/v1/model.pb.h"

namespace emserve::emctl {

// One table for what is one number per component, with the fit's separation beside it, and of
// states what the server derives; and one for each larger array. Those that a
// terminal cannot hold are named at the end.
std::string ParameterTables(const v1::ModelVersion& version);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_PARAMETER_TABLES_H_

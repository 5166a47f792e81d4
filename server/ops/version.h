// The version of this build; CMake passes it as EMSERVE_VERSION.
#ifndef EMSERVE_SERVER_OPS_VERSION_H_
#define EMSERVE_SERVER_OPS_VERSION_H_

namespace emserve::server {

inline constexpr char kVersion[] = EMSERVE_VERSION;

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_OPS_VERSION_H_

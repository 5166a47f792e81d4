// CRC-32C (Castagnoli), the checksum of upload and download chunks.
#ifndef EMSERVE_PROTO_WIRE_CRC32C_H_
#define EMSERVE_PROTO_WIRE_CRC32C_H_

#include <cstdint>
#include <string_view>

namespace emserve {

// CRC-32C of `data`, continued from `crc`, the checksum of what came before (0 at the start). About
// 8 bytes per three cycles (SSE4.2, which every x86-64-v2 machine has). RFC 3720, appendix B.4.
uint32_t Crc32c(std::string_view data, uint32_t crc = 0);

}  // namespace emserve

#endif  // EMSERVE_PROTO_WIRE_CRC32C_H_

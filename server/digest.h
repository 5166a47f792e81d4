// SHA-256, the digest of data sets and of requests.
#ifndef EMSERVE_SERVER_DIGEST_H_
#define EMSERVE_SERVER_DIGEST_H_

#include <memory>
#include <string>
#include <string_view>

namespace emserve::server {

// Digest of bytes that arrive piece by piece. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();

  void Update(std::string_view bytes);
  // The digest in lower-case hexadecimal. Nothing may follow.
  std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// The digest of `bytes` in lower-case hexadecimal.
std::string Sha256Hex(std::string_view bytes);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_DIGEST_H_

// A whole server: domain, services and socket, wired and started, and taken down in order.
#ifndef EMSERVE_SERVER_OPS_SERVER_H_
#define EMSERVE_SERVER_OPS_SERVER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "server/ops/options.h"

namespace emserve::server {

class Server {
 public:
  // Listens and answers when it returns. InvalidArgument or FailedPrecondition (a port that is
  // taken) names the flag.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options);
  ~Server();  // Drain().
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // The port it listens on; 0 for a unix socket.
  int port() const;

  // Refuses new jobs, lets those that run finish for options.drain_timeout, cancels the rest, ends
  // the watches with their job's end, then the calls, then the socket. Health says NOT_SERVING from
  // the beginning. Blocks; idempotent.
  void Drain();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_OPS_SERVER_H_

// A network that breaks: forwards loopback connections and cuts them after a chosen number of
// bytes.
#ifndef EMSERVE_TESTS_CLIENT_TCP_PROXY_H_
#define EMSERVE_TESTS_CLIENT_TCP_PROXY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

namespace emserve {

class TcpProxy {
 public:
  // Forwards to 127.0.0.1:`port`. `budget` is asked, for each connection, for the number of bytes
  // (of both directions together) after which it is cut; negative means never. It is called on the
  // proxy's thread.
  TcpProxy(int port, std::function<int64_t()> budget);
  // Cuts what is open.
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  int num_connections() const { return num_connections_; }
  int num_cuts() const { return num_cuts_; }

 private:
  void Run();

  const int target_;
  const std::function<int64_t()> budget_;
  int listener_ = -1;
  int wake_ = -1;
  int port_ = 0;
  std::atomic<int> num_connections_ = 0;
  std::atomic<int> num_cuts_ = 0;
  std::thread thread_;
};

}  // namespace emserve

#endif  // EMSERVE_TESTS_CLIENT_TCP_PROXY_H_

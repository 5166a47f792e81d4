#include "tests/client/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <vector>

namespace emserve {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

struct Connection {
  int client;
  int server;
  int64_t budget;
};

// A reset, as a network that fails gives it, not an orderly end.
void Cut(const Connection& connection) {
  for (const int socket : {connection.client, connection.server}) {
    const linger reset = {1, 0};
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(socket);
  }
}

// Forwards what is there, at most the budget; false when the connection is over.
bool Forward(int from, int to, int64_t& budget) {
  char buffer[16384];
  const size_t most =
      budget < 0 ? sizeof(buffer) : std::min(sizeof(buffer), static_cast<size_t>(budget));
  const ssize_t got = recv(from, buffer, most, 0);
  if (got <= 0) return false;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t n = send(to, buffer + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += n;
  }
  if (budget >= 0) budget -= got;
  return true;
}

}  // namespace

TcpProxy::TcpProxy(int port, std::function<int64_t()> budget)
    : target_(port), budget_(std::move(budget)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  listen(listener_, 16);
  socklen_t size = sizeof(address);
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  wake_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { Run(); });
}

TcpProxy::~TcpProxy() {
  eventfd_write(wake_, 1);
  thread_.join();
  close(listener_);
  close(wake_);
}

void TcpProxy::Run() {
  std::list<Connection> connections;
  while (true) {
    std::vector<pollfd> waiting = {{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Connection& connection : connections) {
      waiting.push_back({connection.client, POLLIN, 0});
      waiting.push_back({connection.server, POLLIN, 0});
    }
    if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
    if (waiting[0].revents != 0) break;
    size_t next = 2;
    for (auto connection = connections.begin(); connection != connections.end();) {
      const bool from_client = waiting[next].revents != 0;
      const bool from_server = waiting[next + 1].revents != 0;
      next += 2;
      bool open = true;
      if (from_client) open = Forward(connection->client, connection->server, connection->budget);
      if (open && from_server && connection->budget != 0) {
        open = Forward(connection->server, connection->client, connection->budget);
      }
      const bool cut = connection->budget == 0;
      if (cut) ++num_cuts_;
      if (open && !cut) {
        ++connection;
      } else {
        Cut(*connection);
        connection = connections.erase(connection);
      }
    }
    if (waiting[1].revents != 0) {
      const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_in address = Loopback(target_);
      if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        close(client);
        close(server);
        continue;
      }
      const int on = 1;
      setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      ++num_connections_;
      connections.push_back({client, server, budget_()});
    }
  }
  for (const Connection& connection : connections) Cut(connection);
}

}  // namespace emserve

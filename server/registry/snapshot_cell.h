// A cell that holds an immutable value: readers never wait and take no lock, writers swap in a new
// one.
#ifndef EMSERVE_SERVER_REGISTRY_SNAPSHOT_CELL_H_
#define EMSERVE_SERVER_REGISTRY_SNAPSHOT_CELL_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace emserve::server {

// Readers announce the node they are about to copy in a slot (a hazard pointer, Michael 2004), look
// again whether it is still the current one, copy the shared pointer out of it and clear the slot.
// The writer swaps the current node and frees the old one when no slot holds it. A slot is held for
// the time of one copy, so a writer waits for nanoseconds; readers never wait for writers, and for
// each other only when more than kSlots of them are inside a copy at once.
template <typename T>
class SnapshotCell {
 public:
  explicit SnapshotCell(std::shared_ptr<const T> value) : current_(new Node{std::move(value)}) {}
  ~SnapshotCell() { delete current_.load(); }
  SnapshotCell(const SnapshotCell&) = delete;
  SnapshotCell& operator=(const SnapshotCell&) = delete;

  // The current value. Thread-safe.
  std::shared_ptr<const T> Load() const {
    const Node* node = current_.load();
    std::atomic<const Node*>& slot = TakeSlot(node);
    // All accesses are sequentially consistent: either this sees the swap and announces the new
    // node, or the writer, which looks at the slots after the swap, sees the announcement.
    for (const Node* again = current_.load(); again != node; again = current_.load()) {
      node = again;
      slot.store(node);
    }
    std::shared_ptr<const T> value = node->value;
    slot.store(nullptr);
    return value;
  }

  // Makes `value` the current one. Thread-safe; writers wait for each other.
  void Store(std::shared_ptr<const T> value) {
    const Node* const fresh = new Node{std::move(value)};
    const std::lock_guard lock(writers_);
    const Node* const old = current_.exchange(fresh);
    for (const Slot& slot : slots_) {
      while (slot.node.load() == old) std::this_thread::yield();
    }
    delete old;
  }

 private:
  static constexpr size_t kSlots = 64;
  struct Node {
    std::shared_ptr<const T> value;
  };
  struct alignas(64) Slot {  // a cache line each
    std::atomic<const Node*> node{nullptr};
  };

  // Announces `node` in a free slot.
  std::atomic<const Node*>& TakeSlot(const Node* node) const {
    static thread_local const size_t home =
        std::hash<std::thread::id>()(std::this_thread::get_id());
    for (size_t i = home;; ++i) {
      const Node* free = nullptr;
      std::atomic<const Node*>& slot = slots_[i % kSlots].node;
      if (slot.compare_exchange_strong(free, node)) return slot;
    }
  }

  mutable std::array<Slot, kSlots> slots_;
  std::atomic<const Node*> current_;
  std::mutex writers_;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_REGISTRY_SNAPSHOT_CELL_H_

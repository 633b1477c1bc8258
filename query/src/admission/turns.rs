//! [`Turns`]: who is next. Each tenant has a queue of its own, first come, first served; of the tenants that wait, each
//! gives one query in turn, so that the length of one queue makes nobody else wait longer (loki `pkg/queue`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// A place in a queue. Later ones are greater.
pub(super) type Ticket = u64;

/// Queues of `W` by `K`.
#[derive(Debug)]
pub(super) struct Turns<K, W> {
    queues: HashMap<K, BTreeMap<Ticket, W>>,
    /// Each key with a queue once; the first one is next.
    order: VecDeque<K>,
    len: usize,
    next: Ticket,
}

impl<K, W> Default for Turns<K, W> {
    fn default() -> Self {
        Turns {
            queues: HashMap::new(),
            order: VecDeque::new(),
            len: 0,
            next: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, W> Turns<K, W> {
    /// All that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Puts `waiter` at the end of a queue.
    pub fn push(&mut self, key: &K, waiter: W) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        self.len += 1;
        if let Some(queue) = self.queues.get_mut(key) {
            queue.insert(ticket, waiter);
        } else {
            self.queues.insert(key.clone(), BTreeMap::from([(ticket, waiter)]));
            self.order.push_back(key.clone());
        }
        ticket
    }

    /// Takes who is next.
    pub fn pop(&mut self) -> Option<W> {
        let key = self.order.pop_front()?;
        let queue = self.queues.get_mut(&key)?;
        let (_, waiter) = queue.pop_first()?;
        self.len -= 1;
        if queue.is_empty() {
            self.queues.remove(&key);
        } else {
            self.order.push_back(key);
        }
        Some(waiter)
    }

    /// Takes out who no longer wants to wait; `None` where it is not there any more.
    pub fn remove(&mut self, key: &K, ticket: Ticket) -> Option<W> {
        let queue = self.queues.get_mut(key)?;
        let waiter = queue.remove(&ticket)?;
        self.len -= 1;
        if queue.is_empty() {
            self.queues.remove(key);
            self.order.retain(|k| k != key);
        }
        Some(waiter)
    }

    /// Makes place for another one of `key`: takes out the newest of the longest queue. `None` where no queue is longer than
    /// that of `key` would be, so that it is the new one itself that has to go.
    pub fn make_place(&mut self, key: &K) -> Option<W> {
        let own = self.queues.get(key).map_or(0, BTreeMap::len) + 1;
        let (longest, queue) = self.queues.iter().max_by_key(|(_, queue)| queue.len())?;
        if queue.len() <= own {
            return None;
        }
        let (longest, newest) = (longest.clone(), *queue.last_key_value()?.0);
        self.remove(&longest, newest)
    }
}

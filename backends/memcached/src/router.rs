use twox_hash::XxHash3_64;

/// Which server a key lives on: weighted rendezvous hashing, in whole numbers only, so that every
/// platform and every release agrees. [`crate`] describes it; the tests pin it.
#[derive(Debug)]
pub(crate) struct Router {
    tickets: Vec<Ticket>,
}

/// A server draws as many as it has weight.
#[derive(Debug)]
struct Ticket {
    seed: u64,
    server: usize,
}

impl Router {
    /// For servers with their weights. Routes lead to positions in this order, which has no
    /// influence on what lives where.
    pub(crate) fn new<'a>(servers: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut tickets = Vec::new();
        for (server, (address, weight)) in servers.into_iter().enumerate() {
            tickets.extend((0..u64::from(weight)).map(|number| Ticket {
                seed: XxHash3_64::oneshot_with_seed(number, address.as_bytes()),
                server,
            }));
        }
        Self { tickets }
    }

    pub(crate) fn route(&self, key: &str) -> usize {
        let score = |ticket: &&Ticket| {
            let score = XxHash3_64::oneshot_with_seed(ticket.seed, key.as_bytes());
            (score, ticket.seed)
        };
        self.tickets.iter().max_by_key(score).map_or(0, |ticket| ticket.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: [&str; 4] = ["cache-1:11211", "cache-2:11211", "cache-3:11211", "[::1]:11211"];

    fn keys() -> impl Iterator<Item = String> {
        (0..20_000).map(|number| format!("shop:session:{{user-{number}}}:current"))
    }

    fn equal(servers: &[&str]) -> Router {
        Router::new(servers.iter().map(|server| (*server, 1)))
    }

    #[test]
    fn the_hash_is_xxh3_with_a_seed() {
        // From the reference implementation's own list of test values.
        assert_eq!(XxHash3_64::oneshot(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(
            XxHash3_64::oneshot_with_seed(0x9e37_79b1_85eb_ca8d, b""),
            0xa8a6_b918_b2f0_364a
        );
    }

    /// Found with the reference implementation of xxHash in C. Another release, another platform or
    /// another program that routes otherwise would read other servers than wrote.
    #[test]
    fn routes_are_pinned() {
        let router = Router::new([("cache-1:11211", 1), ("cache-2:11211", 2), ("[::1]:11211", 3)]);
        let longest = "n".repeat(194);
        let expected = [
            ("a:{g}:n", 1),
            ("shop:session:{user-1}:current", 2),
            ("shop:session:{user-2}:current", 0),
            ("shop:session:{user-3}:current", 2),
            (&format!("s:{{g}}:{longest}"), 2),
            ("idem:{key}:0", 1),
            ("idem:{key}:1", 2),
            ("idem:{key}:2", 1),
        ];
        for (key, server) in expected {
            assert_eq!(router.route(key), server, "{key}");
        }
    }

    #[test]
    fn removing_a_server_moves_only_its_keys() {
        let before = equal(&SERVERS);
        for gone in SERVERS {
            let rest: Vec<_> = SERVERS.into_iter().filter(|server| *server != gone).collect();
            let after = equal(&rest);
            let mut moved = 0;
            for key in keys() {
                let old = SERVERS[before.route(&key)];
                let new = rest[after.route(&key)];
                moved += u32::from(old != new);
                assert!(old == new || old == gone, "{key} left {old} for {new}");
            }
            assert!((4_500..5_500).contains(&moved), "{moved} of 20,000 moved");
        }
    }

    #[test]
    fn the_order_of_the_servers_does_not_matter() {
        let mut turned = SERVERS;
        turned.reverse();
        let (router, reversed) = (equal(&SERVERS), equal(&turned));
        for key in keys().take(1_000) {
            assert_eq!(SERVERS[router.route(&key)], turned[reversed.route(&key)]);
        }
    }

    #[test]
    fn weights_are_kept_within_a_few_percent() {
        let weights = [1, 2, 5, 2];
        let router = Router::new(SERVERS.into_iter().zip(weights));
        let mut counts = [0_u32; 4];
        for key in keys() {
            counts[router.route(&key)] += 1;
        }
        for (count, weight) in counts.into_iter().zip(weights) {
            let expected = 2_000 * weight;
            assert!(count.abs_diff(expected) < expected / 20, "{counts:?} for {weights:?}");
        }
    }

    #[test]
    fn more_weight_only_draws_keys_to_that_server() {
        let light = Router::new(SERVERS.into_iter().zip([1, 2, 3, 1]));
        let heavy = Router::new(SERVERS.into_iter().zip([1, 3, 3, 1]));
        for key in keys() {
            let (before, after) = (light.route(&key), heavy.route(&key));
            assert!(before == after || after == 1, "{key} went from {before} to {after}");
        }
    }
}

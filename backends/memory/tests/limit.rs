//! A limit that no entry fits under.

use steadfast_backend::{Backend, Group, Key, Namespace, Write};
use steadfast_memory::{MemoryBackend, MemoryConfig};

#[tokio::test]
async fn the_smallest_store_keeps_what_it_confirmed() {
    for limit_bytes in [0, 1, 700, MemoryConfig::LIMIT_BYTES_MIN] {
        let backend = MemoryBackend::new(MemoryConfig { limit_bytes });
        let longest = backend.info().capabilities.value_len_max;
        for (name, len) in [("empty", 0), ("longest", longest)] {
            let (namespace, group) = (Namespace::new("a").unwrap(), Group::new("g").unwrap());
            let key = Key::new(&namespace, &group, name).unwrap();
            let put = Write::put(key.clone(), vec![7; len]);
            assert!(backend.write(&put).await.unwrap().is_applied());
            let health = backend.check().await.unwrap();
            assert!(backend.get(&key).await.unwrap().is_some(), "{name} of {limit_bytes}");
            assert_eq!(health.limit_bytes, Some(MemoryConfig::LIMIT_BYTES_MIN));
        }
    }
}

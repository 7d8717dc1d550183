//! Values of a user's, in the envelope that they are stored in.

use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use steadfast::backend::{Bytes, Group, Key};
use steadfast::schema::{Older, State};
use steadfast::{Error, Store};

use super::world::{World, block_on, bounded_by, mended};

/// Something of everything.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Sample {
    number: i64,
    flag: bool,
    text: String,
    bytes: Bytes,
    choice: Choice,
    lists: BTreeMap<String, Vec<String>>,
    array: Option<[u16; 3]>,
}

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
enum Choice {
    #[default]
    Nothing,
    One(char),
    Two {
        left: u128,
        right: Box<Option<u8>>,
    },
}

#[derive(serde::Serialize, serde::Deserialize)]
struct SampleV1(Vec<(u8, String)>);

impl State for SampleV1 {
    const SCHEMA: u16 = 1;
}

impl State for Sample {
    const SCHEMA: u16 = 2;

    fn upcast(older: Older<'_>) -> Result<Self, Error> {
        let SampleV1(parts) = older.read()?;
        let text = parts.into_iter().map(|(_number, text)| text).collect();
        Ok(Self { text, ..Self::default() })
    }
}

/// Any bytes in the place of a value of that version: so they get past the encryption.
struct Raw<const SCHEMA: u16>(Vec<u8>);

/// How many bytes are in that place: a tuple does not say it.
static RAW_LEN: AtomicUsize = AtomicUsize::new(0);

impl<const SCHEMA: u16> State for Raw<SCHEMA> {
    const SCHEMA: u16 = SCHEMA;
}

/// A tuple is its items and nothing else.
impl<const SCHEMA: u16> Serialize for Raw<SCHEMA> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| items.serialize_element(byte))?;
        items.end()
    }
}

impl<'de, const SCHEMA: u16> Deserialize<'de> for Raw<SCHEMA> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(RAW_LEN.load(Relaxed), Items).map(Self)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<u8>, A::Error> {
        std::iter::from_fn(|| items.next_element().transpose()).collect()
    }
}

struct Bench {
    world: World,
    key: Key,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let world = World::new();
    let key = world.clear.key("sample", &Group::new("g").unwrap(), "n").unwrap();
    Bench { world, key }
});

/// What is under a key is a value, or is said to be corrupt and stays as it is.
pub(super) fn check(input: &[u8]) {
    let Bench { world, key } = &*BENCH;
    for bytes in [Bytes::copy_from_slice(input), mended(input)] {
        world.put(key, &bytes);
        for store in [&world.clear, &world.sealed, &world.mixed] {
            read(store, &bytes);
        }
    }
    let payload = input.get(32..).unwrap_or_default().to_vec();
    RAW_LEN.store(payload.len(), Relaxed);
    let old = world.sealed.put_write(key, &Raw::<1>(payload.clone())).unwrap();
    let new = world.sealed.put_write(key, &Raw::<2>(payload)).unwrap();
    for write in [old, new] {
        assert!(block_on(world.sealed.write(&write)).unwrap().is_applied());
        read(&world.sealed, &world.stored(key).unwrap());
    }
}

/// Where an envelope has the time from its birth to its end.
const LIFE: Range<usize> = 16..24;

fn read(store: &Store, bytes: &Bytes) {
    let Bench { world, key } = &*BENCH;
    match bounded_by(bytes, || block_on(store.get::<Sample>(key))) {
        Ok(Some(record)) => comes_back(store, &record.value),
        // It has an end, which has come.
        Ok(None) => assert_ne!(bytes[LIFE], [0; 8]),
        Err(error) => {
            world.assert_kept(&error, key, bytes);
            let change = |sample: &mut Option<Sample>| *sample = None;
            let error = block_on(store.update(key, None, change)).unwrap_err();
            world.assert_kept(&error, key, bytes);
        }
    }
}

fn comes_back(store: &Store, sample: &Sample) {
    let other = store.key("sample", &Group::new("g").unwrap(), "other").unwrap();
    let put = store.put_write(&other, sample).unwrap();
    assert!(block_on(store.write(&put)).unwrap().is_applied());
    assert_eq!(block_on(store.get::<Sample>(&other)).unwrap().unwrap().value, *sample);
}

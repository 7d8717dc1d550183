//! What is written can be read: whatever `serde_json` brings back equal comes back equal through
//! the default codec, and no codec stores what it would not bring back.

#![cfg(all(feature = "memory", feature = "bincode", feature = "json"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use proptest::collection::{btree_map, hash_map, hash_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast::backend::{Bytes, ErrorKind, Group, Key};
use steadfast::idempotency::{Begin, Fingerprint, IdempotencyKey, Scope};
use steadfast::{Codec, Idempotency, Principal, Sessions, State, Store};
use tokio::runtime::{Builder, Runtime};

/// Any type, stored under one version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Stored<T>(T);

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> State for Stored<T> {
    const SCHEMA: u16 = 1;
}

struct Bench {
    runtime: Runtime,
    stores: Vec<(Codec, Store)>,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let backend = runtime.block_on(steadfast::connect("memory:")).unwrap();
    let codecs = [Codec::default(), Codec::Json, Codec::Postcard, Codec::Bincode];
    let store = |codec| Store::builder(backend.clone()).codec(codec).build().unwrap();
    let stores: Vec<_> = codecs.map(|codec| (codec, store(codec))).into();
    Bench { runtime, stores }
});

/// Another one each time: the tests run side by side.
fn key() -> Key {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = COUNT.fetch_add(1, Relaxed).to_string();
    BENCH.stores[0].1.key("value", &Group::new("g").unwrap(), &name).unwrap()
}

/// What came back, if the store took it.
fn kept<T>(store: &Store, value: &T) -> Option<T>
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let (key, stored) = (key(), Stored(value.clone()));
    match store.put_write(&key, &stored) {
        Ok(put) => BENCH.runtime.block_on(async {
            assert!(store.write(&put).await.unwrap().is_applied());
            let record = store.get::<Stored<T>>(&key).await.unwrap().unwrap();
            store.delete(&key).await.unwrap();
            Some(record.value.0)
        }),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            None
        }
    }
}

/// Each codec brings a value back or refuses it, and the default one refuses nothing that JSON
/// brings back.
#[track_caller]
fn is_kept<T>(value: &T)
where
    T: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let bytes = serde_json::to_vec(value).ok();
    let by_json = bytes.and_then(|bytes| serde_json::from_slice::<T>(&bytes).ok());
    let is_json = by_json.is_some_and(|back| back == *value);
    for (codec, store) in &BENCH.stores {
        match kept(store, value) {
            Some(back) => assert_eq!(back, *value, "{codec:?}"),
            None if is_json && *codec == Codec::default() => panic!("refused: {value:?}"),
            None => {}
        }
    }
}

/// The default codec holds it, whatever JSON does.
#[track_caller]
fn is_kept_by_default<T>(value: &T)
where
    T: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    assert_eq!(kept(&BENCH.stores[0].1, value).as_ref(), Some(value));
    is_kept(value);
}

/// Something of all that serde's attributes do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Profile {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    first: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Vec::is_empty", default, rename = "2nd", alias = "second")]
    second: Vec<u8>,
    third: Vec<u8>,
    internal: Internal,
    adjacent: Vec<Adjacent>,
    untagged: Untagged,
    external: Tree,
    json: Value,
    address: IpAddr,
    #[expect(clippy::option_option, reason = "JSON reads it back, but for Some(None)")]
    twice: Option<Option<i8>>,
    ratio: f64,
    small: f32,
    unit: (),
    letter: char,
    pair: (bool, Marker),
    set: HashSet<String>,
    #[serde(default)]
    map: HashMap<Choice, Vec<Option<u64>>>,
    numbers: BTreeMap<u32, i64>,
    #[serde(flatten)]
    page: Page,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    limit: Option<u16>,
    offset: i32,
    #[serde(with = "spelled")]
    big: u64,
}

/// A number as text, as services do for the sake of JavaScript.
mod spelled {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(number: &u64, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Choice {
    First,
    SecondBest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Internal {
    Nothing,
    Card { last: u16, holder: Option<String>, seen_from: Vec<IpAddr>, raw: Vec<u8> },
    Page(Page),
    Choices { chosen: BTreeSet<Choice>, tree: Box<Tree>, unit: Marker },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Nothing,
    One(String),
    Two(i64, Option<u8>),
    Named { at: f64, choice: Choice },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Flag(bool),
    Number(i64),
    Text(String),
    List(Vec<Untagged>),
    Address { at: IpAddr, choice: Option<Choice> },
    Page(Page),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Value(i32),
    Not(Box<Tree>),
    Both(Box<Tree>, Box<Tree>),
    Named { left: Box<Tree>, right: Option<Box<Tree>> },
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(".{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![Just(Tree::Leaf), any::<i32>().prop_map(Tree::Value)];
    leaf.prop_recursive(6, 24, 2, |inner| {
        let boxed = move || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Tree::Not),
            (boxed(), boxed()).prop_map(|(one, other)| Tree::Both(one, other)),
            (boxed(), option::of(boxed())).prop_map(|(left, right)| Tree::Named { left, right }),
        ]
    })
}

fn page() -> impl Strategy<Value = Page> {
    (any::<Option<u16>>(), any::<i32>(), any::<u64>()).prop_map(|(limit, offset, big)| Page {
        limit,
        offset,
        big,
    })
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![Just(Choice::First), Just(Choice::SecondBest)]
}

fn internal() -> impl Strategy<Value = Internal> {
    let card = (any::<u16>(), option::of(".{0,8}"), vec(any::<IpAddr>(), 0..3), any::<Vec<u8>>());
    let choices = (proptest::collection::btree_set(choice(), 0..3), tree());
    prop_oneof![
        Just(Internal::Nothing),
        card.prop_map(|(last, holder, seen_from, raw)| Internal::Card {
            last,
            holder,
            seen_from,
            raw
        }),
        page().prop_map(Internal::Page),
        choices.prop_map(|(chosen, tree)| Internal::Choices {
            chosen,
            tree: Box::new(tree),
            unit: Marker
        }),
    ]
}

fn adjacent() -> impl Strategy<Value = Adjacent> {
    prop_oneof![
        Just(Adjacent::Nothing),
        ".{0,8}".prop_map(Adjacent::One),
        any::<(i64, Option<u8>)>().prop_map(|(one, two)| Adjacent::Two(one, two)),
        (any::<f64>(), choice()).prop_map(|(at, choice)| Adjacent::Named { at, choice }),
    ]
}

fn untagged() -> impl Strategy<Value = Untagged> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Untagged::Flag),
        any::<i64>().prop_map(Untagged::Number),
        ".{0,8}".prop_map(Untagged::Text),
        (any::<IpAddr>(), option::of(choice()))
            .prop_map(|(at, choice)| Untagged::Address { at, choice }),
        page().prop_map(Untagged::Page),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| vec(inner, 0..4).prop_map(Untagged::List))
}

fn profile() -> impl Strategy<Value = Profile> {
    let lists = (any::<Option<Vec<u8>>>(), any::<Vec<u8>>(), any::<Vec<u8>>());
    let enums = (internal(), vec(adjacent(), 0..3), untagged(), tree(), value());
    let scalars = any::<(IpAddr, Option<Option<i8>>, f64, f32, char, bool)>();
    let maps = (
        hash_set(".{0,4}", 0..4),
        hash_map(choice(), any::<Vec<Option<u64>>>(), 0..2),
        any::<BTreeMap<u32, i64>>(),
        page(),
        btree_map("x.{0,4}", value(), 0..3),
    );
    (lists, enums, scalars, maps).prop_map(|(lists, enums, scalars, maps)| Profile {
        first: lists.0,
        second: lists.1,
        third: lists.2,
        internal: enums.0,
        adjacent: enums.1,
        untagged: enums.2,
        external: enums.3,
        json: enums.4,
        address: scalars.0,
        twice: scalars.1,
        ratio: scalars.2,
        small: scalars.3,
        unit: (),
        letter: scalars.4,
        pair: (scalars.5, Marker),
        set: maps.0,
        map: maps.1,
        numbers: maps.2,
        page: maps.3,
        rest: maps.4,
    })
}

/// What JSON cannot hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Beyond {
    by_number: HashMap<i16, f32>,
    by_pair: BTreeMap<(u8, Option<String>), Vec<i64>>,
    by_list: BTreeMap<Vec<u8>, Option<bool>>,
    bytes: Bytes,
    optional: Option<Bytes>,
    large: u128,
    negative: Option<i128>,
    sum: Bits,
    parts: Vec<Bits>,
}

/// A float that is equal to itself, whatever it is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Bits(f64);

impl PartialEq for Bits {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

fn bits() -> impl Strategy<Value = Bits> {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE];
    prop_oneof![any::<f64>(), proptest::sample::select(odd.to_vec())].prop_map(Bits)
}

fn beyond() -> impl Strategy<Value = Beyond> {
    let bytes = || any::<Vec<u8>>().prop_map(Bytes::from);
    let maps = any::<(HashMap<i16, f32>, BTreeMap<Vec<u8>, Option<bool>>)>();
    let pairs = any::<BTreeMap<(u8, Option<String>), Vec<i64>>>();
    let large = any::<(u128, Option<i128>)>();
    (maps, pairs, bytes(), option::of(bytes()), large, vec(bits(), 1..4)).prop_map(
        |(maps, by_pair, bytes, optional, large, parts)| Beyond {
            by_number: maps.0,
            by_pair,
            by_list: maps.1,
            bytes,
            optional,
            large: large.0,
            negative: large.1,
            sum: parts[0],
            parts,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_json_reads_back_the_default_codec_reads_back(profile in profile()) {
        is_kept(&profile);
    }

    #[test]
    fn so_it_is_with_each_way_to_write_an_enum(
        internal in internal(),
        adjacent in adjacent(),
        untagged in untagged(),
        tree in tree(),
    ) {
        is_kept_by_default(&internal);
        is_kept_by_default(&adjacent);
        is_kept_by_default(&untagged);
        is_kept_by_default(&tree);
    }

    #[test]
    fn so_it_is_with_json_itself(value in value()) {
        is_kept_by_default(&value);
    }

    #[test]
    fn what_json_cannot_hold_is_read_back_too(beyond in beyond()) {
        is_kept_by_default(&beyond);
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Skips {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    a: Option<Vec<u8>>,
    b: Vec<u8>,
    c: Vec<u8>,
}

/// In postcard it would come back as `{ Some([2]), [], [] }`, without an error.
fn shifted() -> Skips {
    Skips { a: None, b: vec![1], c: vec![0, 0] }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Large {
    Number { number: u128 },
}

#[test]
fn a_field_that_a_struct_gained_with_a_default_is_read() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Before {
        name: String,
        dropped: Option<(u8, String)>,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct After {
        #[serde(default)]
        visits: u32,
        name: String,
    }
    let (Bench { runtime, stores }, key) = (&*BENCH, key());
    let before = Before { name: "Ada".to_owned(), dropped: Some((1, "x".to_owned())) };
    let put = stores[0].1.put_write(&key, &Stored(before)).unwrap();
    assert!(runtime.block_on(stores[0].1.write(&put)).unwrap().is_applied());
    let after = runtime.block_on(stores[0].1.get::<Stored<After>>(&key)).unwrap().unwrap();
    assert_eq!(after.value.0, After { visits: 0, name: "Ada".to_owned() });
}

/// It is refused at the write, and the text says what to do.
#[track_caller]
fn is_refused<T>(codec: Codec, value: &T, advice: &str)
where
    T: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let (_codec, store) = BENCH.stores.iter().find(|(known, _)| *known == codec).unwrap();
    let error = store.put_write(&key(), &Stored(value.clone())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{codec:?} {value:?}");
    assert!(error.to_string().contains(advice), "{error}");
}

#[test]
fn what_a_codec_without_names_would_not_read_back_is_refused() {
    for codec in [Codec::Postcard, Codec::Bincode] {
        let advice = "skip_serializing_if";
        is_refused(codec, &shifted(), advice);
        is_refused(codec, &Internal::Nothing, advice);
        is_refused(codec, &Untagged::Flag(true), advice);
        is_refused(codec, &Value::Null, advice);
        is_refused(codec, &Some(Large::Number { number: 1 }), advice);
    }
    is_kept_by_default(&shifted());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Signed(i64),
    Unsigned(u64),
    Large(u128),
}

/// In a release build too.
#[test]
fn what_serde_itself_loses_of_a_large_number_is_refused() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Around {
        #[serde(flatten)]
        within: BTreeMap<String, u128>,
    }
    let around = Around { within: [("x".to_owned(), u128::MAX)].into() };
    for codec in [Codec::default(), Codec::Json] {
        is_refused(codec, &Large::Number { number: u128::MAX }, "serde itself");
        is_refused(codec, &around, "serde itself");
    }
    is_refused(Codec::default(), &Either::Large(u128::MAX), "serde itself");
}

#[test]
#[cfg(debug_assertions)]
fn what_serde_itself_loses_is_refused_where_it_is_tried() {
    for codec in [Codec::default(), Codec::Json] {
        is_refused(codec, &Either::Unsigned(1), "serde itself");
        is_refused(codec, &Some(None::<u8>), "serde itself");
        is_refused(codec, &Some(()), "serde itself");
    }
    is_refused(Codec::Json, &f64::NAN, "serde itself");
    is_refused(Codec::Json, &Some(f64::INFINITY), "serde itself");
}

#[test]
fn a_value_nested_too_deeply_to_be_read_is_refused() {
    let nested = |levels| (0..levels).fold(Tree::Leaf, |tree, _level| Tree::Not(Box::new(tree)));
    is_kept_by_default(&nested(127));
    is_refused(Codec::default(), &nested(128), "127 levels");
}

/// The user would be locked out: the session is there and cannot be read.
#[tokio::test]
async fn no_session_is_made_that_could_not_be_loaded() {
    let backend = steadfast::connect("memory:").await.unwrap();
    let store = Store::builder(backend.clone()).codec(Codec::Postcard).build().unwrap();
    let sessions: Sessions<Stored<Skips>> = Sessions::builder(&store).build().unwrap();
    let alice = Principal::new("alice").unwrap();
    let whole = Stored(Skips { a: Some(vec![1]), ..shifted() });
    assert!(sessions.create(Stored(shifted())).await.is_err());
    assert!(sessions.sign_in(&alice, "phone", Stored(shifted())).await.is_err());
    let id = sessions.create(whole.clone()).await.unwrap().id;
    assert!(sessions.update(&id, |state| state.0.a = None).await.is_err());
    assert_eq!(sessions.load(&id).await.unwrap().unwrap().state, whole);

    let store = Store::builder(backend).build().unwrap();
    let sessions: Sessions<Stored<Skips>> = Sessions::builder(&store).build().unwrap();
    sessions.update(&id, |state| state.0.a = None).await.unwrap();
    let state = sessions.load(&id).await.unwrap().unwrap().state;
    assert_eq!(state, Stored(Skips { a: None, ..whole.0 }));
}

#[tokio::test]
async fn no_answer_is_kept_that_could_not_be_replayed() {
    let backend = steadfast::connect("memory:").await.unwrap();
    let store = Store::builder(backend).codec(Codec::Postcard).build().unwrap();
    let claims: Idempotency<Stored<Skips>> = Idempotency::builder(&store).build().unwrap();
    let scope = Scope::of(&Principal::new("alice").unwrap(), "POST /pay");
    let (key, asked) = (IdempotencyKey::new("k-1").unwrap(), Fingerprint::of(["10 EUR"]));
    let Begin::Acquired(claim) = claims.begin(&scope, &key, &asked).await.unwrap() else {
        panic!("the key is new");
    };
    let error = claim.complete(&Stored(shifted())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let again = claims.begin(&scope, &key, &asked).await.unwrap();
    assert!(matches!(again, Begin::InFlight { .. }));
}

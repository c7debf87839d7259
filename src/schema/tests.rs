//! Shapes of the types that users write, and of those that try to get in the way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::*;
use crate::codec::tests::Mock;
use crate::error::Error;

#[track_caller]
fn shape<T: DeserializeOwned>() -> String {
    let shape = shape_of::<T>().unwrap();
    let text = shape.to_text();
    let read = Schema::from_text(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    assert!(read.says(&shape) && shape.says(&read), "{text}");
    assert!(shape_of::<T>().unwrap().says(&shape), "the same each time");
    text.strip_prefix("shape 2\n").unwrap().to_owned()
}

#[track_caller]
fn check<T: DeserializeOwned>(expected: &str) {
    let found = shape::<T>();
    let expected: String =
        expected.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
    assert_eq!(found, expected, "found:\n{found}");
}

macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "only its Deserialize matters, and a unit struct is not dead")]
        $item
    )*};
}

#[test]
fn the_types_of_a_world() {
    types! {
        struct World { players: BTreeMap<u64, Player>, log: Mock<Event>, name: Option<String> }
        struct Player { name: String, hp: u32 }
        enum Event { Joined(u64), Moved { x: f32, y: f32 }, Quit, Both(u8, Box<Player>) }
    }
    check::<World>(
        "World
         struct World { players: {u64: Player}, log: Vector<Event>, name: Option<str> }
         struct Player { name: str, hp: u32 }
         enum Event { Joined(u64), Moved { x: f32, y: f32 }, Quit, Both(u8, Player) }",
    );
}

#[test]
fn every_primitive_and_compound() {
    types! {
        struct Unit;
        struct Meters(f64);
        struct Pair(u8, char);
        struct Empty {}
        struct All {
            numbers: (i8, u16, i32, u64, i128, usize),
            array: [u8; 32],
            none: [u8; 0],
            one: (bool,),
            unit: (),
            named: (Unit, Meters, Pair, Empty),
            nested: Option<Option<Vec<String>>>,
            set: HashSet<NonZeroU64>,
            range: Range<i64>,
            path: PathBuf,
            time: Duration,
            result: Result<u8, String>,
        }
    }
    check::<All>(
        "All
         struct All { numbers: (i8, u16, i32, u64, i128, u64), array: [u8; 32], none: (), one: (bool,), unit: (), named: (Unit, Meters, Pair, Empty), nested: Option<Option<[str]>>, set: [u64], range: Range, path: str, time: Duration, result: Result }
         struct Unit
         struct Meters(f64)
         struct Pair(u8, char)
         struct Empty {}
         struct Range { start: i64, end: i64 }
         struct Duration { secs: u64, nanos: u32 }
         enum Result { Ok(u8), Err(str) }",
    );
    check::<Vec<HashMap<String, (u8, u8)>>>("[{str: (u8, u8)}]");
}

#[test]
fn recursive_types_end() {
    types! {
        struct Tree { value: u32, left: Option<Box<Tree>>, right: Option<Box<Tree>>, children: Vec<Tree> }
        enum Expr { Neg(Box<Expr>), Add(Box<Expr>, Box<Expr>), Call { f: String, args: Vec<Expr> }, Num(f64), Let(Scope) }
        struct Scope { names: BTreeMap<String, Expr>, kind: Kind, body: Box<Expr> }
        enum Kind { Module(Option<Inner>), Block, Function(Vec<Expr>) }
        struct Inner { deep: Deep }
        enum Deep { A, B(i8), C(Box<Expr>) }
    }
    check::<Tree>(
        "Tree
         struct Tree { value: u32, left: Option<Tree>, right: Option<Tree>, children: [Tree] }",
    );
    check::<Expr>(
        "Expr
         enum Expr { Neg(Expr), Add(Expr, Expr), Call { f: str, args: [Expr] }, Num(f64), Let(Scope) }
         struct Scope { names: {str: Expr}, kind: Kind, body: Expr }
         enum Kind { Module(Option<Inner>), Block, Function([Expr]) }
         struct Inner { deep: Deep }
         enum Deep { A, B(i8), C(Expr) }",
    );
}

#[test]
fn recursion_that_ends_in_an_empty_list_only() {
    types! {
        enum Node { Wrapped(Box<Node>), Children(Group) }
        struct Group { nodes: Vec<Node>, size: u8 }
        struct Folder { folders: Mock<Folder>, name: String }
    }
    check::<Node>(
        "Node
         enum Node { Wrapped(Node), Children(Group) }
         struct Group { nodes: [Node], size: u8 }",
    );
    check::<Folder>(
        "Folder
         struct Folder { folders: Vector<Folder>, name: str }",
    );
}

#[test]
fn enums_deep_inside_enums_are_seen_whole() {
    types! {
        enum A { One, Two(B), Three { c: Vec<C> } }
        enum B { X, Y(Option<C>), Z }
        enum C { P(u8), Q(D), R }
        enum D { I, J, K(u64), L }
    }
    check::<A>(
        "A
         enum A { One, Two(B), Three { c: [C] } }
         enum B { X, Y(Option<C>), Z }
         enum C { P(u8), Q(D), R }
         enum D { I, J, K(u64), L }",
    );
}

#[test]
fn types_of_one_name_are_kept_apart() {
    mod other {
        use super::*;
        types! {
            pub(super) struct Point { x: u8, y: u8 }
        }
    }
    types! {
        struct Point { x: f32, y: f32 }
        struct Pair<T> { one: T, two: T }
        struct Both { a: Point, b: other::Point, c: Pair<u8>, d: Pair<String>, e: Pair<u8> }
    }
    check::<Both>(
        "Both
         struct Both { a: Point, b: Point#2, c: Pair, d: Pair#2, e: Pair }
         struct Point { x: f32, y: f32 }
         struct Point#2 { x: u8, y: u8 }
         struct Pair { one: u8, two: u8 }
         struct Pair#2 { one: str, two: str }",
    );
}

#[test]
fn odd_names_are_quoted() {
    types! {
        #[serde(rename = "a struct, {really}")]
        struct Odd {
            #[serde(rename = "a \"b\", c: (")]
            first: (u8, u16),
            #[serde(rename = "{")]
            second: Kind,
        }
        enum Kind { #[serde(rename = "kebab-case")] KebabCase(u8, u16), #[serde(rename = "")] Empty }
    }
    check::<Odd>(
        r#""a struct, {really}"
         struct "a struct, {really}" { "a \"b\", c: (": (u8, u16), "{": Kind }
         enum Kind { "kebab-case"(u8, u16), "" }"#,
    );
}

/// Accepts no made-up value.
#[derive(Default)]
struct Picky;

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match String::deserialize(d)?.as_str() {
            "the one true text" => Ok(Self),
            _ => Err(serde::de::Error::custom("not the one true text")),
        }
    }
}

/// A date or an address: accepts one of the usual candidates.
struct Parsed;

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse::<std::net::Ipv4Addr>().map(|_| Self).map_err(serde::de::Error::custom)
    }
}

#[test]
fn a_type_that_rejects_made_up_values_does_not_hide_its_neighbours() {
    types! {
        struct Holder {
            before: u8,
            picky: Picky,
            between: Mode,
            parsed: Parsed,
            optional: Option<Picky>,
            list: Vec<Picky>,
            map: BTreeMap<String, Vec<Option<Picky>>>,
            collection: Mock<Picky>,
            after: Wrapper,
        }
        struct Wrapper(Rare);
        enum Mode { Strict(Picky), Loose(u16), Mixed { picky: Picky, x: f32 }, Off }
        enum Rare { Only(Picky, u8), Never(Picky) }
        struct Outer { holder: Holder, last: (u8, Wrapper, u8), end: i64 }
    }
    check::<Outer>(
        "Outer
         struct Outer { holder: Holder, last: (u8, Wrapper, ?), end: i64 }
         struct Holder { before: u8, picky: str, between: Mode, parsed: str, optional: Option<str>, list: [str], map: {str: [Option<str>]}, collection: Vector<str>, after: Wrapper }
         enum Mode { Strict(str), Loose(u16), Mixed { picky: str, x: f32 }, Off }
         struct Wrapper(Rare)
         enum Rare { Only(str, ?), Never(str) }",
    );
    check::<Picky>("str");
    check::<Option<Parsed>>("Option<str>");
}

#[test]
fn aliases_do_not_disturb() {
    types! {
        struct Aliased { #[serde(alias = "old", alias = "older")] new: u8, other: u16 }
        enum Choice { #[serde(alias = "Un")] One(Aliased), Two(u8) }
    }
    check::<Choice>(
        "Choice
         enum Choice { |One|Un(Aliased), Two(u8) }
         struct Aliased { new|old|older: u8, other: u16 }",
    );
}

#[test]
fn aliases_go_with_their_fields_wherever_they_stand() {
    types! {
        struct First { #[serde(alias = "a", alias = "z")] name: u8, b: u16 }
        struct Last { b: u16, #[serde(alias = "a", alias = "z")] name: Option<First> }
        struct Between {
            one: Vec<Last>,
            #[serde(alias = "two", default)] picky: Picky,
            #[serde(alias = "drei", alias = "aaa")] three: Picky,
            #[serde(alias = "0")] four: i8,
        }
        struct Only { #[serde(alias = "uuid", alias = "a")] id: Picky }
        enum Choice {
            #[serde(alias = "a")] Unit,
            #[serde(alias = "t", alias = "b")] Tuple(u8, Between),
            Plain(Option<Box<Choice>>),
            Named { #[serde(alias = "old")] new: Only, #[serde(alias = "c")] d: Vec<Choice> },
        }
        struct Tree { #[serde(alias = "kids")] children: Vec<Tree>, #[serde(alias = "a")] value: u8 }
        struct World { choice: Choice, tree: Tree }
    }
    check::<World>(
        "World
         struct World { choice: Choice, tree: Tree }
         enum Choice { |Unit|a, |Tuple|b|t(u8, Between), Plain(Option<Choice>), Named { new|old: Only, d|c: [Choice] } }
         struct Between { one: [Last], |picky|two: str, three|aaa|drei: str, four|0: i8 }
         struct Last { b: u16, name|a|z: Option<First> }
         struct First { name|a|z: u8, b: u16 }
         struct Only { id|a|uuid: str }
         struct Tree { children|kids: [Tree], value|a: u8 }",
    );
}

#[test]
fn a_sample_shows_what_comes_after_a_value_that_cannot_be_made_up() {
    let shape = shape_of::<(Picky, u32, Option<(Picky, i8)>)>().unwrap();
    assert_eq!(shape.to_text(), "shape 2\n(str, ?, ?)\n");
    assert!(shape.has_unknown());
    let sample = postcard::to_stdvec("the one true text").unwrap();
    let shape = shape_with::<(Picky, u32, Option<(Picky, i8)>)>(std::slice::from_ref(&sample)).unwrap();
    assert!(!shape.has_unknown());
    let text = shape.to_text();
    assert!(text.starts_with("shape 2\n(str, u32, Option<(str, i8)>)\nsample 11746865"), "{text}");
    assert!(Schema::from_text(&text).unwrap().says(&shape));
    // One that is not needed is not kept.
    assert!(shape_with::<u32>(&[sample]).unwrap().samples.is_empty());
}

#[test]
#[allow(unreachable_patterns, reason = "what the names of the second field are for")]
fn names_that_do_not_tell_fields_apart_are_refused() {
    types! {

        struct Twice { a: u8, #[serde(rename = "a")] b: u8 }
        struct Holder { list: Vec<Twice> }
    }
    let error = shape_of::<Holder>().unwrap_err();
    assert!(error.to_string().contains("two parts of `Twice` are called \"a\""), "{error}");
}

#[test]
fn texts_of_version_1_are_read() {
    for text in [
        "World\nstruct World { players: HashMap<u64, Player>, log: Vector<Event> }\nstruct Player { _0: str, _1: u32 }\nenum Event { _0(u64), _1 }\n",
        "[(str, ?)]\n",
        "{str: HashSet<[u8; 32]>}\n",
    ] {
        assert_eq!(Schema::from_text(text).unwrap().to_text(), text);
    }
}

#[test]
fn what_the_format_cannot_hold_is_refused_by_name() {
    types! {
        #[serde(untagged)]
        enum Untagged { A(u8) }
        #[serde(tag = "t")]
        enum Tagged { A { a: u8 } }
        #[serde(tag = "t", content = "c")]
        enum Adjacent { A { a: u8 } }
        struct Flat { #[serde(flatten)] inner: Inner }
        struct Inner { a: u8 }
        struct Deep { ok: u8, list: Vec<Choice> }
        enum Choice { Fine, Broken(Tagged) }
    }
    #[track_caller]
    fn refused<T: DeserializeOwned>(start: &str) {
        match shape_of::<T>() {
            Err(Error::Encode { reason, .. }) => {
                assert!(reason.starts_with(start), "{reason}");
                assert!(reason.contains("flatten") && reason.contains("ordinary enum"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    refused::<Untagged>("it asks");
    refused::<Tagged>("it asks");
    refused::<Adjacent>("");
    refused::<Flat>("it asks");
    refused::<serde_json::Value>("it asks");
    refused::<Deep>("variant `Broken` of `Choice`: it asks");
    refused::<Mock<(u8, Option<Flat>)>>("it asks");
}

#[test]
fn equal_shapes_have_equal_fingerprints() {
    assert_eq!(shape_of::<Vec<u8>>().unwrap().to_text(), shape_of::<HashSet<u8>>().unwrap().to_text());
    assert_ne!(shape_of::<Vec<u8>>().unwrap().to_text(), shape_of::<Mock<u8>>().unwrap().to_text());
}

#[test]
fn text_that_is_no_shape_is_refused() {
    for text in [
        "",
        "A",
        "\n",
        "A\nwhat A\n",
        "A\nstruct A { x: u8\n",
        "A\nstruct A {x: u8}\n",
        "A\nstruct A(u8,u8)\n",
    ] {
        assert!(Schema::from_text(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_large_graph_of_types_takes_bounded_work() {
    macro_rules! chain {
        ($($name:ident -> $next:ty;)*) => {
            types! {$(struct $name { a: Option<Box<$next>>, b: Vec<$next>, c: BTreeMap<u8, $next>, d: Many })*}
        };
    }
    chain! { A->B; B->C; C->D; D->E; E->F; F->G; G->H; H->I; I->J; J->K; K->L; L->M; M->N; N->O; O->u8; }
    types! {
        enum Many { V0, V1, V2(u8), V3, V4, V5, V6, V7, V8 { a: Option<Box<A>> }, V9 }
    }
    let text = shape::<A>();
    assert_eq!(text.lines().count(), 17);
    assert!(!text.contains('?'), "{text}");
}

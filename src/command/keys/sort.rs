//! SORT and SORT_RO.
//!
//! - Equal weights are ordered by element, so the result is a function of the data alone.
//! - BY and GET read keys that nobody declared: the commands lock the whole keyspace.
//! - A set that is stored without being sorted is sorted by its bytes.
//! - What GET makes of the elements is never held as a whole: GET may be named as often as a request has arguments.
//!
//! Source: <https://redis.io/docs/latest/commands/sort/>.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use crate::command::args::integer;
use crate::command::cost::CostKind;
use crate::command::hash::live_field;
use crate::command::spec::{BeginSearch, Categories, FindKeys, Flags, KeyFlags, KeySpec, key};
use crate::command::{Args, Asked, Command, CommandError, CommandResult, Family, ReadContext, WriteContext};
use crate::keyspace::entry::Entry;
use crate::keyspace::types::list::List;
use crate::keyspace::value::{Object, ValueRef};
use crate::protocol::number::parse_double;
use crate::protocol::reply::{Reply, Resp};
use cost::cost_of_sort;

mod cost;

const STORE_KEY: KeySpec = KeySpec {
    begin: BeginSearch::LastKeyword { keyword: "STORE", from: 2 },
    find: FindKeys::Range { last: 0, step: 1 },
    flags: KeyFlags::OW_UPDATE,
};

const COMPLEXITY: &str = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, \
    and M the number of returned elements.";

/// Apart from the other generic commands, for these two are not in their ACL category.
pub const FAMILY: Family = Family {
    group: "generic",
    categories: Categories::SET
        .union(Categories::SORTEDSET)
        .union(Categories::LIST)
        .union(Categories::DANGEROUS),
    commands: &[
        Command::write("sort", -2, sort)
            .reads_when(stores_nothing, sort_reading)
            .cost(CostKind::Stores(cost_of_sort))
            .flags(&[Flags::DENYOOM, Flags::MOVABLEKEYS, Flags::WHOLE_KEYSPACE])
            .keys(&[key(1, KeyFlags::RO_ACCESS), STORE_KEY])
            .asks(asked)
            .docs(
                "1.0.0",
                COMPLEXITY,
                "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
            ),
        Command::read("sort_ro", -2, sort_ro)
            .cost(CostKind::Measured(cost_of_sort))
            .flags(&[Flags::MOVABLEKEYS, Flags::WHOLE_KEYSPACE])
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .asks(asked)
            .docs("7.0.0", COMPLEXITY, "Returns the sorted elements of a list, a set, or a sorted set."),
    ],
};

type Bytes<'a> = Cow<'a, [u8]>;

#[derive(Debug, Default)]
struct SortOptions<'a> {
    by: Option<&'a [u8]>,
    get: Vec<&'a [u8]>,
    limit: Option<(i64, i64)>,
    store: Option<&'a [u8]>,
    descending: bool,
    alpha: bool,
}

impl<'a> SortOptions<'a> {
    fn parse(mut rest: &Args<'a>) -> Result<Self, CommandError> {
        let mut options = SortOptions::default();
        while let [word, behind @ ..] = rest {
            rest = match (word.to_ascii_uppercase().as_slice(), behind) {
                (b"ASC", _) => {
                    options.descending = false;
                    behind
                }
                (b"DESC", _) => {
                    options.descending = true;
                    behind
                }
                (b"ALPHA", _) => {
                    options.alpha = true;
                    behind
                }
                (b"LIMIT", [start, count, behind @ ..]) => {
                    options.limit = Some((integer(start)?, integer(count)?));
                    behind
                }
                (b"BY", [pattern, behind @ ..]) => {
                    options.by = Some(*pattern);
                    behind
                }
                (b"GET", [pattern, behind @ ..]) => {
                    options.get.push(pattern);
                    behind
                }
                (b"STORE", [key, behind @ ..]) => {
                    options.store = Some(*key);
                    behind
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        Ok(options)
    }

    /// BY a pattern without a `*` means: leave the order as it is.
    fn keeps_order(&self) -> bool {
        self.by.is_some_and(|pattern| !pattern.contains(&b'*'))
    }

    /// Whether no other key decides which elements LIMIT leaves.
    fn order_is_its_own(&self) -> bool {
        self.keeps_order() || self.by.is_none()
    }

    /// Calls `take` with what GET makes of an element: the element itself, or one result for each pattern.
    fn results(&self, ctx: &ReadContext<'_>, element: &[u8], take: &mut dyn FnMut(Option<&[u8]>)) {
        if self.get.is_empty() {
            take(Some(element));
        }
        for pattern in &self.get {
            match *pattern {
                b"#" => take(Some(element)),
                pattern => take(look_up(ctx, pattern, element).as_deref()),
            }
        }
    }

    fn range(&self, len: usize) -> Range<usize> {
        let (start, count) = self.limit.unwrap_or((0, -1));
        let start = usize::try_from(start.max(0)).unwrap_or(usize::MAX).min(len);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        start..start.saturating_add(count).min(len)
    }
}

/// The key that STORE names, wherever that word is an option; patterns of BY and GET may lead to any key.
fn asked(args: &Args<'_>) -> Asked {
    let mut asked = Asked { keys: vec![(1, KeyFlags::RO_ACCESS)], reads_any_key: false };
    let mut at = 2;
    while let Some(word) = args.get(at) {
        at += match (word.to_ascii_uppercase().as_slice(), args.get(at + 1)) {
            (b"LIMIT", _) => 3,
            (b"BY", Some(pattern)) => {
                asked.reads_any_key |= pattern.contains(&b'*');
                2
            }
            (b"GET", _) => {
                asked.reads_any_key = true;
                2
            }
            (b"STORE", Some(_)) => {
                asked.keys.push((at + 1, KeyFlags::OW_UPDATE));
                2
            }
            _ => 1,
        };
    }
    asked
}

/// Whether SORT with these arguments only reads; wrong arguments change nothing.
fn stores_nothing(args: &Args<'_>) -> bool {
    SortOptions::parse(&args[2..]).map_or(true, |options| options.store.is_none())
}

fn sort(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let options = SortOptions::parse(&args[2..])?;
    let (reader, limits) = (ctx.reader(), ctx.limits);
    let Some(store) = options.store else { return write(&reader, args[1], &options, reply) };
    let mut list = List::new();
    for element in run(&reader, args[1], &options)? {
        options.results(&reader, &element, &mut |result| list.push_back(result.unwrap_or_default(), limits));
    }
    reply.integer(list.len() as i64);
    ctx.insert(store, Object::List(list), None);
    Ok(())
}

/// SORT without STORE.
fn sort_reading(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write(ctx, args[1], &SortOptions::parse(&args[2..])?, reply)
}

fn sort_ro(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let options = SortOptions::parse(&args[2..])?;
    if options.store.is_some() {
        return Err(CommandError::Syntax);
    }
    write(ctx, args[1], &options, reply)
}

fn write(
    ctx: &ReadContext<'_>,
    key: &[u8],
    options: &SortOptions<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    if reply.is_over() {
        return Ok(());
    }
    let sorted = run(ctx, key, options)?;
    let results = sorted.len().saturating_mul(options.get.len().max(1));
    if results > reply.room() / shortest_result(reply.resp()) {
        reply.give_up();
        return Ok(());
    }
    reply.array(results);
    for element in &sorted {
        options.results(ctx, element, &mut |result| reply.bulk_or_null(result));
        if reply.is_over() {
            break;
        }
    }
    Ok(())
}

/// Bytes of a null.
fn shortest_result(resp: Resp) -> usize {
    match resp {
        Resp::V2 => b"$-1\r\n".len(),
        Resp::V3 => b"_\r\n".len(),
    }
}

/// The elements in their order, as many as LIMIT leaves.
fn run<'a>(
    ctx: &ReadContext<'a>,
    key: &[u8],
    options: &SortOptions<'_>,
) -> Result<Vec<Bytes<'a>>, CommandError> {
    let entry = ctx.entry(key);
    let elements = entry.map_or(Ok(Vec::new()), elements_of)?;
    let is_set = matches!(entry.map(Entry::value), Some(ValueRef::Object(Object::Set(_))));
    let mut ordered = if !options.keeps_order() {
        order(ctx, elements, options)?
    } else if is_set && options.store.is_some() {
        order(
            ctx,
            elements,
            &SortOptions { alpha: true, descending: options.descending, ..Default::default() },
        )?
    } else if options.descending && !is_set {
        elements.into_iter().rev().collect()
    } else {
        elements
    };
    let range = options.range(ordered.len());
    ordered.truncate(range.end);
    ordered.drain(..range.start);
    Ok(ordered)
}

/// The elements in the order of their collection.
fn elements_of(entry: &Entry) -> Result<Vec<Bytes<'_>>, CommandError> {
    match entry.value() {
        ValueRef::Object(Object::List(list)) => Ok(list.iter().map(Cow::Borrowed).collect()),
        ValueRef::Object(Object::Set(set)) => {
            Ok(set.iter().map(|member| Cow::Owned(member.to_vec())).collect())
        }
        ValueRef::Object(Object::ZSet(zset)) => {
            Ok(zset.iter().map(|entry| Cow::Borrowed(entry.member)).collect())
        }
        _ => Err(CommandError::WrongType),
    }
}

/// What an element is ordered by.
enum Weight<'a> {
    Number(f64),
    /// The value that BY names, or nothing, which comes first.
    Text(Option<Bytes<'a>>),
    Itself,
}

fn order<'a>(
    ctx: &ReadContext<'a>,
    elements: Vec<Bytes<'a>>,
    options: &SortOptions<'_>,
) -> Result<Vec<Bytes<'a>>, CommandError> {
    let weigh = |element: Bytes<'a>| Ok((weight(ctx, &element, options)?, element));
    let mut weighed: Vec<(Weight<'a>, Bytes<'a>)> =
        elements.into_iter().map(weigh).collect::<Result<_, _>>()?;
    weighed.sort_by(|a, b| {
        let ascending = compare(a, b);
        if options.descending { ascending.reverse() } else { ascending }
    });
    Ok(weighed.into_iter().map(|(_, element)| element).collect())
}

fn weight<'a>(
    ctx: &ReadContext<'a>,
    element: &[u8],
    options: &SortOptions<'_>,
) -> Result<Weight<'a>, CommandError> {
    let by = options.by.map(|pattern| look_up(ctx, pattern, element));
    match (options.alpha, by) {
        (true, None) => Ok(Weight::Itself),
        (true, Some(text)) => Ok(Weight::Text(text)),
        (false, Some(None)) => Ok(Weight::Number(0.0)),
        (false, Some(Some(text))) => number(&text),
        (false, None) => number(element),
    }
}

fn number<'a>(text: &[u8]) -> Result<Weight<'a>, CommandError> {
    let text = text.trim_ascii_start();
    let number = if text.is_empty() { Some(0.0) } else { parse_double(text) };
    number
        .map(Weight::Number)
        .ok_or(CommandError::other("ERR One or more scores can't be converted into double"))
}

fn compare(a: &(Weight<'_>, Bytes<'_>), b: &(Weight<'_>, Bytes<'_>)) -> Ordering {
    let by_weight = match (&a.0, &b.0) {
        (Weight::Number(a), Weight::Number(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
        _ => Ordering::Equal,
    };
    by_weight.then_with(|| a.1.cmp(&b.1))
}

/// What a pattern names for an element: `weight_*` a string, `obj_*->field` a field.
struct Lookup<'p> {
    before: &'p [u8],
    after: &'p [u8],
    field: Option<&'p [u8]>,
}

impl<'p> Lookup<'p> {
    /// `None` for a pattern that names no key.
    fn parse(pattern: &'p [u8]) -> Option<Self> {
        let star = pattern.iter().position(|byte| *byte == b'*')?;
        let (before, behind) = (&pattern[..star], &pattern[star + 1..]);
        let arrow = behind.windows(2).position(|pair| pair == b"->").filter(|place| place + 2 < behind.len());
        let (after, field) = match arrow {
            Some(place) => (&behind[..place], Some(&behind[place + 2..])),
            None => (behind, None),
        };
        Some(Lookup { before, after, field })
    }

    fn key(&self, element: &[u8]) -> Vec<u8> {
        [self.before, element, self.after].concat()
    }

    /// Whether some element makes this key's name.
    fn may_name(&self, key: &[u8]) -> bool {
        let rest = key.strip_prefix(self.before);
        rest.is_some_and(|rest| rest.ends_with(self.after))
    }

    fn value<'a>(&self, ctx: &ReadContext<'a>, key: &[u8]) -> Option<&'a [u8]> {
        let value = match self.field {
            Some(field) => live_field(ctx, key, field),
            None => ctx.string(key),
        };
        value.ok().flatten()
    }
}

/// The value that a pattern names for an element, or the element for `#`.
fn look_up<'a>(ctx: &ReadContext<'a>, pattern: &[u8], element: &[u8]) -> Option<Bytes<'a>> {
    if pattern == b"#" {
        return Some(Cow::Owned(element.to_vec()));
    }
    let lookup = Lookup::parse(pattern)?;
    lookup.value(ctx, &lookup.key(element)).map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;
    use crate::keyspace::hash_seed::unseeded;

    fn with_numbers() -> TestDb {
        let mut db = TestDb::new();
        let fields: Vec<String> = (1..=4).map(|n| format!("w_{n} {}", 10 - n)).collect();
        db.show(&format!("MSET {}", fields.join(" ")));
        (1..=4).for_each(|n| drop(db.show(&format!("HSET h_{n} name n{n} x {}", n % 2))));
        db
    }

    #[test]
    fn numbers_and_texts_are_sorted_each_in_their_way() {
        let mut db = TestDb::new();
        db.show("SADD s 10 9 -1 2.5");
        assert_eq!(db.show("SORT s"), "[-1 2.5 9 10]");
        assert_eq!(db.show("SORT s DESC"), "[10 9 2.5 -1]");
        assert_eq!(db.show("SORT_RO s ALPHA"), "[-1 10 2.5 9]");
        assert_eq!(db.show("SORT s LIMIT 1 2"), "[2.5 9]");
        assert_eq!(db.show("SORT s LIMIT 3 99"), "[10]");
        assert_eq!(db.show("SORT s LIMIT 4 1"), "[]");
        assert_eq!(db.show("SORT s LIMIT -5 -1 DESC"), "[10 9 2.5 -1]");
        assert_eq!(db.show("SORT none"), "[]");
        db.show("RPUSH l \" 3\" 2 0x1");
        assert_eq!(db.show("SORT l"), "[0x1 2  3]");
        db.show("SADD t a 1");
        assert_eq!(db.show("SORT t"), "ERR One or more scores can't be converted into double");
        assert_eq!(db.show("SORT t ALPHA"), "[1 a]");
    }

    #[test]
    fn weights_and_results_come_from_other_keys() {
        let mut db = with_numbers();
        db.show("SADD s 1 2 3 4");
        assert_eq!(db.show("SORT s BY w_*"), "[4 3 2 1]");
        assert_eq!(db.show("SORT s BY w_* GET # GET h_*->name LIMIT 0 2"), "[4 n4 3 n3]");
        assert_eq!(db.show("SORT s BY h_*->x"), "[2 4 1 3]");
        assert_eq!(db.show("SORT s GET none_* GET h_*-> LIMIT 0 1"), "[nil nil]");
        assert_eq!(db.show("SORT s BY h_*->name ALPHA DESC"), "[4 3 2 1]");
        assert_eq!(db.show("SORT s BY none_* ALPHA"), "[1 2 3 4]");
    }

    #[test]
    fn without_sorting_lists_and_sorted_sets_keep_their_order() {
        let mut db = TestDb::new();
        db.show("RPUSH l c a b a");
        db.show("ZADD z 1 c 2 b 3 a");
        for (line, expected) in [
            ("SORT l ALPHA", "[a a b c]"),
            ("SORT l BY nosort", "[c a b a]"),
            ("SORT l BY nosort DESC LIMIT 0 2", "[a b]"),
            ("SORT z ALPHA", "[a b c]"),
            ("SORT z BY nosort", "[c b a]"),
            ("SORT z BY nosort DESC LIMIT 1 5", "[b c]"),
        ] {
            assert_eq!(db.show(line), expected, "{line}");
        }
    }

    #[test]
    fn results_are_stored_as_a_list() {
        let mut db = with_numbers();
        db.show("SADD s 3 1 2");
        assert_eq!(db.show("SORT s DESC STORE out"), "3");
        assert_eq!(db.show("TYPE out"), "list");
        assert_eq!(db.show("SORT out BY nosort"), "[3 2 1]");
        assert_eq!(db.show("SORT out BY nosort DESC"), "[1 2 3]");
        assert_eq!(db.show("SORT s BY nosort GET none_* STORE out"), "3");
        assert_eq!(db.run("SORT_RO out BY nosort LIMIT 0 1"), "*1\r\n$0\r\n\r\n");
        assert_eq!(db.show("SORT none STORE out"), "0");
        assert_eq!(db.show("EXISTS out"), "0");
    }

    /// Keys were looked up until the reply was full of nulls.
    #[test]
    fn a_reply_that_is_too_long_even_if_nothing_is_found_looks_nothing_up() {
        let mut db = TestDb::new();
        let elements: String = (0..1000).map(|n| format!(" {n}")).collect();
        db.show(&format!("RPUSH l{elements}"));
        (0..1000).for_each(|n| drop(db.run(&format!("SET w{n} x"))));
        db.most = 4000;
        let args: Vec<&[u8]> = "SORT l BY nosort GET w* GET w*".split(' ').map(str::as_bytes).collect();
        let before = unseeded::hashes();
        assert!(db.run_bounded(&args).is_none());
        let hashes = unseeded::hashes() - before;
        assert!(hashes < 100, "{hashes} hashes");
        let args: Vec<&[u8]> = "SORT l BY nosort GET w* LIMIT 0 500".split(' ').map(str::as_bytes).collect();
        assert!(db.run_bounded(&args).is_some());
    }

    #[test]
    fn what_cannot_be_sorted_is_refused() {
        let mut db = with_numbers();
        assert!(db.show("SORT w_1").starts_with("WRONGTYPE"));
        assert!(db.show("SORT h_1").starts_with("WRONGTYPE"));
        assert_eq!(db.show("SORT s LIMIT 1"), "ERR syntax error");
        assert_eq!(db.show("SORT s LIMIT a b"), "ERR value is not an integer or out of range");
        assert_eq!(db.show("SORT_RO s STORE out"), "ERR syntax error");
        assert_eq!(db.show("SORT s BY"), "ERR syntax error");
    }
}

//! Words that break programs, drawn as command lines: any words after any command, and words in their right places.
//!
//! - `hostile/numbers.txt` and `words.txt` list words; `grammar.txt` lists forms of commands: `<s>` is a string's key (`l` a list's, `m`
//!   a set's, `h` a hash's, `z` a sorted set's, `x` a stream's, `k` any), `<n>` a number, `<c>` a small one, `<e>` an element that may be there, `<i>` an id that may
//!   be there, `<w>` any word; `a/b` one of both, `[…]` perhaps, `{…}` once to four times.
//! - The same seed draws the same lines.

const NUMBERS: &str = include_str!("../hostile/numbers.txt");
const WORDS: &str = include_str!("../hostile/words.txt");
const GRAMMAR: &str = include_str!("../hostile/grammar.txt");
const ODD: &[&[u8]] = &[
    b"",
    b"\0",
    b"a\0b",
    b"\r\n",
    b"$-1\r\n",
    b"\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xc3\x28",
    b" ",
    b"\t",
    b" 1",
    b"1 ",
];

/// Names that hold something after [`data`], each with the letter of its type first, and some that hold nothing.
const KEYS: &[&str] = &[
    "s:number",
    "s:least",
    "s:most",
    "s:float",
    "s:empty",
    "s:text",
    "s:large",
    "s:mortal",
    "s:sparse",
    "s:dense",
    "s:new",
    "l:small",
    "l:large",
    "l:long",
    "l:new",
    "m:integers",
    "m:manyints",
    "m:extreme",
    "m:small",
    "m:large",
    "m:new",
    "h:small",
    "h:large",
    "h:long",
    "h:mortal",
    "h:new",
    "z:small",
    "z:large",
    "z:extreme",
    "z:equal",
    "z:places",
    "z:new",
    "x:small",
    "x:large",
    "x:empty",
    "x:new",
    "{a}7",
    "none",
];

/// Commands that make data of each type in each encoding, small and large, with and without deadlines.
pub fn data() -> Vec<String> {
    let many = |command: &str, count: usize, one: &dyn Fn(usize) -> String| {
        let words: Vec<String> = (0..count).map(one).collect();
        format!("{command} {}", words.join(" "))
    };
    let mut lines = vec![
        "SET s:number 42".to_owned(),
        "SET s:least -9223372036854775808".to_owned(),
        "SET s:most 9223372036854775807".to_owned(),
        "SET s:float 1.7e308".to_owned(),
        "SETRANGE s:empty 0 x".to_owned(),
        "SET s:text abcabcabd".to_owned(),
        format!("SET s:large {}", "0123456789".repeat(2_500)),
        "SET s:mortal v PX 100000".to_owned(),
        many("PFADD s:sparse", 300, &|n| format!("e{n}")),
        many("PFADD s:dense", 3_000, &|n| format!("e{n}")),
        many("RPUSH l:small", 5, &|n| format!("e{n}")),
        many("RPUSH l:large", 1_000, &|n| format!("e{}", n % 300)),
        format!("RPUSH l:long {0} {0} x", "y".repeat(10_000)),
        many("SADD m:integers", 5, &|n| n.to_string()),
        many("SADD m:manyints", 1_000, &|n| (n * 7).to_string()),
        "SADD m:extreme -9223372036854775808 9223372036854775807".to_owned(),
        many("SADD m:small", 5, &|n| format!("e{n}")),
        many("SADD m:large", 1_000, &|n| format!("e{n}")),
        many("HSET h:small", 5, &|n| format!("e{n} {n}")),
        many("HSET h:large", 1_000, &|n| format!("e{n} v{n}")),
        format!("HSET h:long e1 {}", "z".repeat(10_000)),
        many("HSET h:mortal", 20, &|n| format!("e{n} v{n}")),
        "HPEXPIRE h:mortal 5000 FIELDS 3 e1 e2 e3".to_owned(),
        many("ZADD z:small", 5, &|n| format!("{n} e{n}")),
        many("ZADD z:large", 1_000, &|n| format!("{} e{n}", n / 3)),
        "ZADD z:extreme -inf a inf b 0 c -0 e1 1e308 e2".to_owned(),
        many("ZADD z:equal", 300, &|n| format!("0 e{n:03}")),
        many("GEOADD z:places", 300, &|n| {
            let (longitude, latitude) = ((n * 37 % 360) as i64 - 180, (n * 11 % 170) as i64 - 85);
            format!("{longitude} {latitude} e{n}")
        }),
    ];
    lines.extend((1..6).map(|n| format!("XADD x:small {n}-1 e{n} v{n} e1 {n}")));
    lines.extend((1..400).map(|n| format!("XADD x:large {}-{} f v{n} g e{n}", n / 4, n % 4 + 1)));
    lines.extend(["x:small", "x:large"].map(|key| format!("XGROUP CREATE {key} e1 0")));
    lines.extend(
        ["x:small", "x:large"].map(|key| format!("XREADGROUP GROUP e1 e2 COUNT 150 STREAMS {key} >")),
    );
    lines.push("XGROUP CREATE x:empty e1 $ MKSTREAM".to_owned());
    // One slot of so many keys that its table is a tree.
    lines.extend((0..11).map(|batch| many("MSET", 500, &|n| format!("{{a}}{} v", batch * 500 + n))));
    lines
}

/// A command or subcommand: its name's words, and the number of its arguments, the name included, negative for "at least".
#[derive(Clone, Debug)]
pub struct Row {
    pub words: Vec<&'static str>,
    pub arity: i32,
}

/// Draws command lines.
pub struct Lines {
    state: u64,
    rows: Vec<Row>,
    numbers: Vec<&'static str>,
    words: Vec<&'static str>,
    grammar: Vec<&'static str>,
    /// Payloads of DUMP, for RESTORE.
    pub dumps: Vec<Vec<u8>>,
}

impl Lines {
    pub fn new(seed: u64, rows: Vec<Row>) -> Lines {
        let [numbers, words, grammar] = [NUMBERS, WORDS, GRAMMAR].map(|text| text.lines().collect());
        Lines { state: seed, rows, numbers, words, grammar, dumps: Vec::new() }
    }

    /// SplitMix64.
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// The words of a command line; every row comes up, and its number of arguments fits.
    pub fn next_line(&mut self) -> Vec<Vec<u8>> {
        if self.below(3) > 0 {
            let form = self.below(self.grammar.len());
            return self.by_grammar(self.grammar[form]);
        }
        let row = self.below(self.rows.len());
        let Row { words, arity } = self.rows[row].clone();
        let mut args: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let more = if arity > 0 { 0 } else { self.below(9) };
        while args.len() < arity.unsigned_abs() as usize + more {
            let place = args.len();
            args.push(self.any_word(if place < 3 { 60 } else { 30 }));
        }
        args
    }

    fn by_grammar(&mut self, form: &str) -> Vec<Vec<u8>> {
        let mut args = Vec::new();
        let mut rest = form;
        while let Some(first) = rest.chars().next() {
            let (part, times, after) = match first {
                '[' if !rest.starts_with("[e") && !rest.starts_with("[m") => {
                    let (part, after) = rest[1..].split_once(']').expect("a closing bracket");
                    (part, self.below(2), after)
                }
                '{' => {
                    let (part, after) = rest[1..].split_once('}').expect("a closing brace");
                    (part, 1 + self.below(4), after)
                }
                _ => {
                    let (part, after) = rest.split_once(' ').unwrap_or((rest, ""));
                    (part, 1, after)
                }
            };
            for word in (0..times).flat_map(|_| part.split(' ')) {
                args.push(self.meant_by(word, args.is_empty()));
            }
            rest = after.trim_start();
        }
        args
    }

    /// A word in the place of a placeholder; now and then another, but never another command.
    fn meant_by(&mut self, word: &str, is_name: bool) -> Vec<u8> {
        let choices: Vec<&str> = word.split('/').collect();
        let chosen = self.one_of(&choices);
        if !is_name && self.below(40) == 0 {
            return self.any_word(30);
        }
        match chosen {
            "<k>" => self.one_of(KEYS).into(),
            "<n>" => self.number(),
            "<c>" => self.one_of(&["1", "2", "3", "4"]).into(),
            "<e>" => match self.below(8) {
                0 => self.any_word(10),
                _ => format!("e{}", self.below(12)).into(),
            },
            "<i>" => self.id(),
            "<w>" => self.any_word(10),
            key if key.len() == 3 && key.starts_with('<') => match self.below(12) {
                0 => self.one_of(KEYS).into(),
                _ => {
                    let of_type: Vec<&str> =
                        KEYS.iter().copied().filter(|name| name.starts_with(&key[1..2])).collect();
                    self.one_of(&of_type).into()
                }
            },
            literal => literal.into(),
        }
    }

    /// An id of a stream's entry, or what stands for one.
    fn id(&mut self) -> Vec<u8> {
        match self.below(12) {
            0 => self.one_of(&["-", "+", "$", ">", "*", "(5", "(5-1", "5-*", "0", "0-0", "(-", "--1"]).into(),
            1 => [self.number(), b"-".to_vec(), self.number()].concat(),
            2 => "18446744073709551615-18446744073709551615".into(),
            3 => self.number(),
            _ => format!("{}-{}", self.below(12), self.below(5)).into(),
        }
    }

    /// Any number; small ones are likely.
    fn number(&mut self) -> Vec<u8> {
        if self.below(2) == 0 {
            (self.below(12) as i64 - 4).to_string().into()
        } else {
            self.one_listed(true)
        }
    }

    fn one_listed(&mut self, is_number: bool) -> Vec<u8> {
        let place = self.below(if is_number { self.numbers.len() } else { self.words.len() });
        if is_number { self.numbers[place].into() } else { self.words[place].into() }
    }

    /// Any word, which is a key in so many of 100 cases.
    fn any_word(&mut self, likely_key: usize) -> Vec<u8> {
        match self.below(100) {
            dice if dice < likely_key => self.one_of(KEYS).into(),
            dice if dice < likely_key + 20 => self.number(),
            dice if dice < likely_key + 35 => self.one_listed(false),
            _ => self.odd(),
        }
    }

    fn odd(&mut self) -> Vec<u8> {
        match self.below(400) {
            0 if self.below(8) == 0 => vec![b'n'; 1 << 20],
            0..=2 => vec![b'k'; 20_000],
            3..=9 => b"*a".repeat(40),
            10..=79 if !self.dumps.is_empty() => {
                let which = self.below(self.dumps.len());
                let mut dump = self.dumps[which].clone();
                if self.below(2) == 0 {
                    let at = self.below(dump.len());
                    dump[at] ^= 1 << self.below(8);
                }
                dump
            }
            80..=119 => (1_u64 << self.below(64)).wrapping_sub(self.below(2) as u64).to_string().into(),
            120..=139 => self.next_u64().to_string().into(),
            140..=159 => (self.next_u64() as i64).to_string().into(),
            160..=250 => self.one_listed(false),
            _ => self.one_of(ODD).to_vec(),
        }
    }
}

//! A user: whether it may authenticate, with which passwords, and what it may do then.

use ring::digest;

use super::commands::Commands;
use super::error::{RuleError, SetUserError};
use super::selector::{ChannelAccess, Denied, Request, Selector};

/// A password is known by its SHA-256, in so many lower-case hexadecimal digits.
pub const PASSWORD_HASH_DIGITS: usize = 64;

#[derive(Clone, Debug)]
pub struct User {
    name: Box<[u8]>,
    on: bool,
    /// Any password will do.
    nopass: bool,
    /// Hexadecimal digits.
    passwords: Vec<Box<[u8]>>,
    root: Selector,
    selectors: Vec<Selector>,
    /// It may do everything: the check before each command ends here.
    is_unlimited: bool,
}

impl User {
    /// A new user: off, without a password, may do nothing.
    pub fn new(name: &[u8], commands: &dyn Commands) -> User {
        let root = Selector::new(commands);
        User {
            name: name.into(),
            on: false,
            nopass: false,
            passwords: Vec::new(),
            root,
            selectors: Vec::new(),
            is_unlimited: false,
        }
    }

    /// A user that may do everything without a password.
    pub fn unlimited(name: &[u8], commands: &dyn Commands) -> User {
        let mut user = User::new(name, commands);
        for rule in [&b"on"[..], b"nopass", b"~*", b"&*", b"+@all"] {
            user.take(rule, commands).expect("the rules of the first user are right");
        }
        user.is_unlimited = true;
        user
    }

    /// Reads what [`describe`](Self::describe) wrote.
    pub fn parse(name: &[u8], rules: &[u8], commands: &dyn Commands) -> Result<User, SetUserError> {
        let words: Vec<&[u8]> = rules.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
        User::new(name, commands).changed(&words, commands)
    }

    /// The user after these rules, as ACL SETUSER takes them; as it is if one of them is refused.
    pub fn changed(&self, rules: &[&[u8]], commands: &dyn Commands) -> Result<User, SetUserError> {
        let mut user = self.clone();
        for rule in join_selectors(rules)? {
            user.take(&rule, commands).map_err(|error| SetUserError::Rule { rule: shown(&rule), error })?;
        }
        user.is_unlimited = user.root.is_unlimited();
        if user.describe().len() > super::MAX_RULES_BYTES {
            return Err(SetUserError::TooLong);
        }
        Ok(user)
    }

    /// The rules as they are stored: what is read from them is this very user.
    pub fn to_stored(&self, commands: &dyn Commands) -> Result<Vec<u8>, SetUserError> {
        let rules = self.describe();
        let read = User::parse(&self.name, &rules, commands).map_err(|_| SetUserError::Ambiguous)?;
        let is_same = read.describe() == rules && read.selectors.len() == self.selectors.len();
        if is_same { Ok(rules) } else { Err(SetUserError::Ambiguous) }
    }

    fn take(&mut self, rule: &[u8], commands: &dyn Commands) -> Result<(), RuleError> {
        let word = rule.to_ascii_lowercase();
        match &word[..] {
            b"on" => self.on = true,
            b"off" => self.on = false,
            b"nopass" => {
                self.nopass = true;
                self.passwords.clear();
            }
            b"resetpass" => {
                self.nopass = false;
                self.passwords.clear();
            }
            // Values from RESTORE are always checked.
            b"sanitize-payload" | b"skip-sanitize-payload" => {}
            b"clearselectors" => self.selectors.clear(),
            b"reset" => *self = User::new(&self.name.clone(), commands),
            _ => return self.take_password_or_permission(rule, commands),
        }
        Ok(())
    }

    fn take_password_or_permission(&mut self, rule: &[u8], commands: &dyn Commands) -> Result<(), RuleError> {
        match rule {
            [b'>', password @ ..] => self.add_password(hash_password(password)),
            [b'#', hash @ ..] => self.add_password(checked_hash(hash)?),
            [b'<', password @ ..] => self.remove_password(&hash_password(password))?,
            [b'!', hash @ ..] => self.remove_password(&checked_hash(hash)?)?,
            [b'(', ..] => {
                let selector = selector(rule, commands)?;
                self.selectors.push(selector);
            }
            _ => self.root.take(rule, commands)?,
        }
        Ok(())
    }

    fn add_password(&mut self, hash: Box<[u8]>) {
        self.nopass = false;
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
    }

    fn remove_password(&mut self, hash: &[u8]) -> Result<(), RuleError> {
        let place =
            self.passwords.iter().position(|known| **known == *hash).ok_or(RuleError::NoSuchPassword)?;
        self.passwords.remove(place);
        Ok(())
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whether any password will do.
    pub fn needs_no_password(&self) -> bool {
        self.nopass
    }

    /// Whether it may do everything.
    pub fn is_unlimited(&self) -> bool {
        self.is_unlimited
    }

    /// The SHA-256 of each password, in hexadecimal digits.
    pub fn passwords(&self) -> &[Box<[u8]>] {
        &self.passwords
    }

    /// A digest of passwords and rules: another one where the user was changed.
    pub fn state(&self) -> Box<[u8]> {
        hash_password(&self.describe())
    }

    pub fn root(&self) -> &Selector {
        &self.root
    }

    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// How many patterns of keys and channels it has, all permissions together.
    pub fn patterns(&self) -> usize {
        self.root.patterns() + self.selectors.iter().map(Selector::patterns).sum::<usize>()
    }

    /// Whether a password is one of its own. It takes as long for a wrong one.
    pub fn has_password(&self, password: &[u8]) -> bool {
        let hash = hash_password(password);
        let is_same =
            |known: &[u8]| known.iter().zip(&*hash).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0;
        self.passwords.iter().fold(false, |accepted, known| accepted | is_same(known))
    }

    /// Whether a request is allowed, or what of it is not.
    pub fn check(&self, request: &Request<'_>) -> Result<(), Denied> {
        let place_of = |key: &[u8]| request.keys.iter().position(|(place, _)| request.args[*place] == key);
        self.ask(|selector| selector.check(request), place_of)
    }

    /// The same for channels alone.
    pub fn check_channels(&self, channels: ChannelAccess<'_>) -> Result<(), Denied> {
        self.ask(|selector| selector.check_channels(channels), |_| None)
    }

    fn ask(
        &self,
        check: impl Fn(&Selector) -> Result<(), Denied>,
        place_of: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<(), Denied> {
        let Err(mut denied) = check(&self.root) else { return Ok(()) };
        for selector in &self.selectors {
            match check(selector) {
                Ok(()) => return Ok(()),
                Err(other) => denied = denied.or(other, &place_of),
            }
        }
        Err(denied)
    }

    /// All rules that make it from a new user, as ACL LIST shows them behind its name.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = vec![if self.on { b"on".to_vec() } else { b"off".to_vec() }];
        if self.nopass {
            parts.push(b"nopass".to_vec());
        }
        parts.extend(self.passwords.iter().map(|hash| [&b"#"[..], hash].concat()));
        parts.push(self.root.describe());
        parts.extend(self.selectors.iter().map(|selector| [&b"("[..], &selector.describe(), b")"].concat()));
        parts.join(&b' ')
    }
}

/// A selector in its parentheses.
fn selector(rule: &[u8], commands: &dyn Commands) -> Result<Selector, RuleError> {
    let inner = rule[1..].strip_suffix(b")").ok_or(RuleError::Syntax)?;
    let mut selector = Selector::new(commands);
    for rule in inner.split(|byte| *byte == b' ').filter(|rule| !rule.is_empty()) {
        selector.take(rule, commands)?;
    }
    Ok(selector)
}

/// Puts the words of each selector together, which may come as several arguments.
fn join_selectors(rules: &[&[u8]]) -> Result<Vec<Vec<u8>>, SetUserError> {
    let mut joined = Vec::with_capacity(rules.len());
    let mut open: Option<Vec<u8>> = None;
    for rule in rules {
        let mut whole = match open.take() {
            Some(begun) => [&begun[..], b" ", rule].concat(),
            None => rule.to_vec(),
        };
        let is_open = whole.first() == Some(&b'(') && whole.last() != Some(&b')');
        open = is_open.then(|| std::mem::take(&mut whole));
        if !is_open {
            joined.push(whole);
        }
    }
    match open {
        Some(begun) => Err(SetUserError::Unmatched(shown(&begun))),
        None => Ok(joined),
    }
}

/// Rules as the log may hold them: with the hash of each password in its place.
pub fn rules_with_hashes(rules: &[&[u8]]) -> Vec<Vec<u8>> {
    let hashed = |sign: &[u8], password: &[u8]| [sign, &hash_password(password)].concat();
    let each = rules.iter().map(|rule| match rule {
        [b'>', password @ ..] => hashed(b"#", password),
        [b'<', password @ ..] => hashed(b"!", password),
        _ => rule.to_vec(),
    });
    each.collect()
}

/// The SHA-256 of a password, in hexadecimal digits.
pub fn hash_password(password: &[u8]) -> Box<[u8]> {
    let hash = digest::digest(&digest::SHA256, password);
    let digits = hash.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| b"0123456789abcdef"[usize::from(digit)]).collect()
}

fn checked_hash(hash: &[u8]) -> Result<Box<[u8]>, RuleError> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let fits = hash.len() == PASSWORD_HASH_DIGITS && hash.iter().all(is_digit);
    if fits { Ok(hash.into()) } else { Err(RuleError::PasswordHash) }
}

fn shown(rule: &[u8]) -> String {
    String::from_utf8_lossy(rule).into_owned()
}

//! The arguments of searches, read in the order in which Redis reads them: the first fault is the one that is answered.

use super::globe::{Extent, Position, Shape};
use super::read::position_of;
use super::{length, position, unit};
use crate::command::args::{integer, is};
use crate::command::{Args, CommandError};
use crate::keyspace::types::zset::ZSet;

/// Which command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Radius,
    RadiusByMember,
    RadiusRo,
    RadiusByMemberRo,
    Search,
    SearchStore,
}

/// As parameters of functions that stand in rows.
impl Form {
    pub const RADIUS: u8 = 0;
    pub const RADIUS_BY_MEMBER: u8 = 1;
    pub const RADIUS_RO: u8 = 2;
    pub const RADIUS_BY_MEMBER_RO: u8 = 3;
    pub const SEARCH: u8 = 4;
    pub const SEARCH_STORE: u8 = 5;

    pub const fn of(number: u8) -> Form {
        match number {
            Form::RADIUS => Form::Radius,
            Form::RADIUS_BY_MEMBER => Form::RadiusByMember,
            Form::RADIUS_RO => Form::RadiusRo,
            Form::RADIUS_BY_MEMBER_RO => Form::RadiusByMemberRo,
            Form::SEARCH => Form::Search,
            _ => Form::SearchStore,
        }
    }

    /// The place of the key that is searched.
    pub fn source_at(self) -> usize {
        if self == Form::SearchStore { 2 } else { 1 }
    }

    /// The place of the first option.
    fn options_at(self) -> usize {
        match self {
            Form::Radius | Form::RadiusRo => 6,
            Form::RadiusByMember | Form::RadiusByMemberRo => 5,
            Form::Search | Form::SearchStore => self.source_at() + 1,
        }
    }

    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }

    pub fn may_name_store(self) -> bool {
        matches!(self, Form::Radius | Form::RadiusByMember)
    }
}

/// Whether GEORADIUS or GEORADIUSBYMEMBER with these arguments names no key to store its result in.
pub fn stores_nothing(args: &Args<'_>) -> bool {
    let options = args.get(5..).unwrap_or_default();
    !options.windows(2).any(|pair| is(pair[0], "STORE") || is(pair[0], "STOREDIST"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct With {
    pub distance: bool,
    pub hash: bool,
    pub position: bool,
}

/// A search.
#[derive(Debug)]
pub struct Query<'a> {
    /// `None` only where there is nothing to search.
    pub shape: Option<Shape>,
    /// The meters of the unit in which distances are told.
    pub unit: f64,
    pub order: Option<Order>,
    /// The most members of the result.
    pub count: Option<usize>,
    /// Any members do, not the nearest.
    pub any: bool,
    pub with: With,
    pub store: Option<&'a [u8]>,
    pub stores_distances: bool,
}

/// What is known so far.
struct Parser<'a, 'k> {
    form: Form,
    set: Option<&'k ZSet>,
    center: Option<Position>,
    from_member: bool,
    extent: Option<Extent>,
    query: Query<'a>,
}

impl<'a> Query<'a> {
    /// `set` is what is searched.
    pub fn parse(args: &Args<'a>, form: Form, set: Option<&ZSet>) -> Result<Query<'a>, CommandError> {
        let query = Query {
            shape: None,
            unit: 1.0,
            order: None,
            count: None,
            any: false,
            with: With::default(),
            store: (form == Form::SearchStore).then(|| args[1]),
            stores_distances: false,
        };
        let mut parser = Parser { form, set, center: None, from_member: false, extent: None, query };
        parser.take_first(args)?;
        let mut rest = args.get(form.options_at()..).unwrap_or_default();
        while let [word, after @ ..] = rest {
            rest = match parser.take_word(word, after)? {
                Some(after) => after,
                None => parser.take_shape(word, after)?,
            };
        }
        parser.finish(args[0])
    }
}

impl<'a> Parser<'a, '_> {
    /// What stands before the options of GEORADIUS and its kind.
    fn take_first(&mut self, args: &Args<'a>) -> Result<(), CommandError> {
        match self.form {
            Form::Search | Form::SearchStore => Ok(()),
            Form::Radius | Form::RadiusRo => {
                self.center = Some(position(args[2], args[3])?);
                self.take_radius(args[4], args[5])
            }
            // Without the key Redis reads no more than the options.
            Form::RadiusByMember | Form::RadiusByMemberRo if self.set.is_none() => Ok(()),
            Form::RadiusByMember | Form::RadiusByMemberRo => {
                self.center = self.member(args[2])?;
                self.take_radius(args[3], args[4])
            }
        }
    }

    /// Where a member is; `None` where there is no key.
    fn member(&self, member: &[u8]) -> Result<Option<Position>, CommandError> {
        const NO_MEMBER: &str = "ERR could not decode requested zset member";
        let Some(set) = self.set else { return Ok(None) };
        position_of(set, member).map(Some).ok_or(CommandError::other(NO_MEMBER))
    }

    fn take_radius(&mut self, radius: &[u8], name: &[u8]) -> Result<(), CommandError> {
        let radius = length(radius, "ERR need numeric radius")?;
        if radius < 0.0 {
            return Err(CommandError::other("ERR radius cannot be negative"));
        }
        self.query.unit = unit(name)?;
        self.extent = Some(Extent::Circle { radius: radius * self.query.unit });
        Ok(())
    }

    fn take_box(&mut self, width: &[u8], height: &[u8], name: &[u8]) -> Result<(), CommandError> {
        let width = length(width, "ERR need numeric width")?;
        let height = length(height, "ERR need numeric height")?;
        if width < 0.0 || height < 0.0 {
            return Err(CommandError::other("ERR height or width cannot be negative"));
        }
        self.query.unit = unit(name)?;
        self.extent = Some(Extent::Box { width: width * self.query.unit, height: height * self.query.unit });
        Ok(())
    }

    /// Takes an option that says what is answered; returns what follows it, `None` if it is no such option.
    fn take_word<'s>(
        &mut self,
        word: &[u8],
        after: &'s Args<'a>,
    ) -> Result<Option<&'s Args<'a>>, CommandError> {
        let query = &mut self.query;
        match (word.to_ascii_uppercase().as_slice(), after) {
            (b"WITHDIST", _) => query.with.distance = true,
            (b"WITHHASH", _) => query.with.hash = true,
            (b"WITHCOORD", _) => query.with.position = true,
            (b"ANY", _) => query.any = true,
            (b"ASC", _) => query.order = Some(Order::Ascending),
            (b"DESC", _) => query.order = Some(Order::Descending),
            (b"STOREDIST", _) if self.form == Form::SearchStore => query.stores_distances = true,
            (b"COUNT", [count, after @ ..]) => {
                let count = integer(count)?;
                let at_least_one = usize::try_from(count).ok().filter(|count| *count > 0);
                query.count = Some(at_least_one.ok_or(CommandError::other("ERR COUNT must be > 0"))?);
                return Ok(Some(after));
            }
            (name @ (b"STORE" | b"STOREDIST"), [key, after @ ..]) if self.form.may_name_store() => {
                query.store = Some(*key);
                query.stores_distances = name == b"STOREDIST";
                return Ok(Some(after));
            }
            _ => return Ok(None),
        }
        Ok(Some(after))
    }

    /// Takes an option that says where GEOSEARCH searches; returns what follows it.
    fn take_shape<'s>(&mut self, word: &[u8], after: &'s Args<'a>) -> Result<&'s Args<'a>, CommandError> {
        let is_circle = matches!(self.extent, Some(Extent::Circle { .. }));
        let is_box = matches!(self.extent, Some(Extent::Box { .. }));
        let from_position = self.center.is_some() && !self.from_member;
        match (word.to_ascii_uppercase().as_slice(), after) {
            _ if !self.form.is_search() => Err(CommandError::Syntax),
            (b"FROMMEMBER", [member, after @ ..]) if !from_position => {
                self.center = self.member(member)?;
                self.from_member = true;
                Ok(after)
            }
            (b"FROMLONLAT", [longitude, latitude, after @ ..]) if !self.from_member => {
                self.center = Some(position(longitude, latitude)?);
                Ok(after)
            }
            (b"BYRADIUS", [radius, name, after @ ..]) if !is_box => {
                self.take_radius(radius, name)?;
                Ok(after)
            }
            (b"BYBOX", [width, height, name, after @ ..]) if !is_circle => {
                self.take_box(width, height, name)?;
                Ok(after)
            }
            _ => Err(CommandError::Syntax),
        }
    }

    fn finish(mut self, name: &[u8]) -> Result<Query<'a>, CommandError> {
        let name = String::from_utf8_lossy(name);
        let with = self.query.with;
        if self.query.store.is_some() && with != With::default() {
            let what = if self.form.is_search() { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            let text = format!("ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
            return Err(CommandError::other(text));
        }
        if self.form.is_search() && self.center.is_none() && !self.from_member {
            let text = format!("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}");
            return Err(CommandError::other(text));
        }
        if self.form.is_search() && self.extent.is_none() {
            let text = format!("ERR exactly one of BYRADIUS and BYBOX can be specified for {name}");
            return Err(CommandError::other(text));
        }
        if self.query.any && self.query.count.is_none() {
            return Err(CommandError::other("ERR the ANY argument requires COUNT argument"));
        }
        // The nearest are meant, unless any do.
        if self.query.count.is_some() && !self.query.any {
            self.query.order.get_or_insert(Order::Ascending);
        }
        self.query.shape = self.center.zip(self.extent).map(|(center, extent)| Shape { center, extent });
        Ok(self.query)
    }
}

//! Places on the globe: sorted sets whose scores are geohashes. The table of the family.
//!
//! - A score has 52 bits, of longitude and latitude in turns; any other score decodes to some place, too.
//! - Sines are computed by a library of this program, not of its machine, because apply stores distances: some end in another
//!   last bit than Redis's.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=geo>.

mod add;
mod area;
mod globe;
mod hash;
mod options;
mod read;
mod search;

use super::cost::CostKind;
use super::spec::{BeginSearch, Categories, FindKeys, Flags, KeyFlags, KeySpec, key};
use super::{Args, Command, CommandError, Family};
use crate::command::args::{float, is};
use globe::Position;
use options::Form;

const OOM: Flags = Flags::DENYOOM;

const fn store_key(keyword: &'static str, from: usize) -> KeySpec {
    KeySpec {
        begin: BeginSearch::LastKeyword { keyword, from },
        find: FindKeys::Range { last: 0, step: 1 },
        flags: KeyFlags::OW_UPDATE,
    }
}

const RADIUS_COST: &str = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.";
const SEARCH_COST: &str = "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape";
const LOG_EACH: &str =
    "O(log(N)) for each member requested, where N is the number of elements in the sorted set.";

pub const FAMILY: Family = Family {
    group: "geo",
    categories: Categories::GEO,
    commands: &[
        Command::write("geoadd", -5, add::geoadd).flags(&[OOM]).keys(&[key(1, KeyFlags::RW_UPDATE)]).docs(
            "3.2.0",
            "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
            "Adds one or more members to a geospatial index. The key is created if it doesn't exist.",
        ),
        Command::read("geodist", -4, read::geodist)
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("3.2.0", "O(1)", "Returns the distance between two members of a geospatial index."),
        Command::read("geohash", -2, read::geohash)
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("3.2.0", LOG_EACH, "Returns members from a geospatial index as geohash strings."),
        Command::read("geopos", -2, read::geopos)
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("3.2.0", LOG_EACH, "Returns the longitude and latitude of members from a geospatial index."),
        Command::write("georadius", -6, search::georadius)
            .reads_when(options::stores_nothing, search::georadius_reading)
            .cost(CostKind::Stores(search::cost_of::<{ Form::RADIUS }>))
            .flags(&[OOM, Flags::MOVABLEKEYS])
            .keys(&[key(1, KeyFlags::RO_ACCESS), store_key("STORE", 6), store_key("STOREDIST", 6)])
            .docs("3.2.0", RADIUS_COST, "Queries a geospatial index for members within a distance from a coordinate, optionally stores the result."),
        Command::write("georadiusbymember", -5, search::georadiusbymember)
            .reads_when(options::stores_nothing, search::georadiusbymember_reading)
            .cost(CostKind::Stores(search::cost_of::<{ Form::RADIUS_BY_MEMBER }>))
            .flags(&[OOM, Flags::MOVABLEKEYS])
            .keys(&[key(1, KeyFlags::RO_ACCESS), store_key("STORE", 5), store_key("STOREDIST", 5)])
            .docs("3.2.0", RADIUS_COST, "Queries a geospatial index for members within a distance from a member, optionally stores the result."),
        Command::read("georadiusbymember_ro", -5, search::georadiusbymember_ro)
            .cost(CostKind::Measured(search::cost_of::<{ Form::RADIUS_BY_MEMBER_RO }>))
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("3.2.10", RADIUS_COST, "Returns members from a geospatial index that are within a distance from a member."),
        Command::read("georadius_ro", -6, search::georadius_ro)
            .cost(CostKind::Measured(search::cost_of::<{ Form::RADIUS_RO }>))
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("3.2.10", RADIUS_COST, "Returns members from a geospatial index that are within a distance from a coordinate."),
        Command::read("geosearch", -7, search::geosearch)
            .cost(CostKind::Measured(search::cost_of::<{ Form::SEARCH }>))
            .keys(&[key(1, KeyFlags::RO_ACCESS)])
            .docs("6.2.0", SEARCH_COST, "Queries a geospatial index for members inside an area of a box or a circle."),
        Command::write("geosearchstore", -8, search::geosearchstore)
            .cost(CostKind::Stores(search::cost_of::<{ Form::SEARCH_STORE }>))
            .flags(&[OOM])
            .keys(&[key(1, KeyFlags::OW_UPDATE), key(2, KeyFlags::RO_ACCESS)])
            .docs("6.2.0", SEARCH_COST, "Queries a geospatial index for members inside an area of a box or a circle, optionally stores the result."),
    ],
};

/// A longitude and a latitude.
fn position(longitude: &[u8], latitude: &[u8]) -> Result<Position, CommandError> {
    let (longitude, latitude) = (float(longitude)?, float(latitude)?);
    let position = Position { longitude, latitude };
    if !position.is_on_map() {
        let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
        return Err(CommandError::other(text));
    }
    Ok(position)
}

/// The meters of a unit.
fn unit(arg: &[u8]) -> Result<f64, CommandError> {
    let units = [("M", 1.0), ("KM", 1000.0), ("FT", 0.3048), ("MI", 1609.34)];
    let named = units.into_iter().find(|(name, _)| is(arg, name)).map(|(_, meters)| meters);
    named.ok_or(CommandError::other("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// A length that is not negative; errors of these texts for anything else.
fn length(arg: &[u8], no_number: &'static str) -> Result<f64, CommandError> {
    float(arg).map_err(|_| CommandError::other(no_number))
}

/// The last two arguments of GEODIST, or none.
fn optional_unit(args: &Args<'_>) -> Result<f64, CommandError> {
    match args {
        [] => Ok(1.0),
        [name] => unit(name),
        _ => Err(CommandError::Syntax),
    }
}

#[cfg(test)]
mod tests;

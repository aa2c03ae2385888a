//! Finds the options of a message: in the options field, and in `file` and `sname` when these are overloaded
//! (RFC 2132 section 9.3). An option that stands there more than once is one value in pieces (RFC 3396).

use super::options::{OptionBytes, option};
use crate::Malformed;

/// Where a message keeps its options, in the order in which pieces are joined.
pub(super) struct Areas<'a> {
    areas: [&'a [u8]; 3],
}

impl<'a> Areas<'a> {
    /// Checks that every option can be read, and takes in `file` and `sname` if the options field says so.
    pub(super) fn find(options: &'a [u8], file: &'a [u8], sname: &'a [u8]) -> Result<Areas<'a>, Malformed> {
        let mut areas = Areas { areas: [options, &[], &[]] };
        // RFC 2132 section 9.3: the overload option itself stands in the options field.
        let mut overload = 0;
        for found in Pieces(options) {
            match found? {
                (option::OVERLOAD, &[value @ 1..=3]) => overload = value,
                (option::OVERLOAD, [_]) => return Err(Malformed::Value),
                (option::OVERLOAD, _) => return Err(Malformed::OptionLength),
                _ => {}
            }
        }
        // RFC 3396 section 5: the options field comes first, then `file`, then `sname`.
        if overload & 1 != 0 {
            areas.areas[1] = file;
        }
        if overload & 2 != 0 {
            areas.areas[2] = sname;
        }
        for area in &areas.areas[1..] {
            for found in Pieces(area) {
                found?;
            }
        }
        Ok(areas)
    }

    /// The value of one option, its pieces joined; `None` when it is absent.
    ///
    /// # Errors
    /// [`Malformed::OptionLength`] when the pieces exceed what [`OptionBytes`] holds.
    pub(super) fn value(&self, code: u8) -> Result<Option<OptionBytes>, Malformed> {
        let mut value = None;
        for area in self.areas {
            for (_, piece) in Pieces(area).map_while(Result::ok).filter(|found| found.0 == code) {
                let joined = value.get_or_insert(OptionBytes::EMPTY);
                if !joined.push(piece) {
                    return Err(Malformed::OptionLength);
                }
            }
        }
        Ok(value)
    }

    /// The value of one option, its pieces joined, as far as [`OptionBytes`] holds it: for lists that need not be whole.
    pub(super) fn beginning(&self, code: u8) -> OptionBytes {
        let mut value = OptionBytes::EMPTY;
        for area in self.areas {
            for (_, piece) in Pieces(area).map_while(Result::ok).filter(|found| found.0 == code) {
                value.fill(piece);
            }
        }
        value
    }
}

/// The options of one area, as they stand there. Ends at the end option, at the end of the area (which old servers
/// leave without an end option), or after the first option that cannot be read.
struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<(u8, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [option::PAD, rest @ ..] = self.0 {
            self.0 = rest;
        }
        let area = core::mem::take(&mut self.0);
        match area {
            [] | [option::END, ..] => None,
            [code, len, rest @ ..] => match rest.split_at_checked(usize::from(*len)) {
                Some((value, rest)) => {
                    self.0 = rest;
                    Some(Ok((*code, value)))
                }
                None => Some(Err(Malformed::OptionLength)),
            },
            [_] => Some(Err(Malformed::OptionLength)),
        }
    }
}

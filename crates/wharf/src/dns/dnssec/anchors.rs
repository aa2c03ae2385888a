//! The keys that all trust begins with (RFC 4033 section 2, "trust anchor").

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DS};
use hickory_resolver::proto::dnssec::{Algorithm, DigestType, PublicKeyBuf, TrustAnchors};
use hickory_resolver::proto::rr::Name;

use crate::dns::zone_text;

/// Keys that are believed without proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchors {
    keys: Vec<(Name, DNSKEY)>,
    digests: Vec<(Name, DS)>,
}

impl Anchors {
    /// The keys of the Internet's root: KSK-2017 (20326) and KSK-2024 (38696).
    pub fn iana() -> Self {
        let known = TrustAnchors::default();
        let keys = (0..known.len()).filter_map(|index| known.get(index));
        let keys = keys.map(|key: &PublicKeyBuf| (Name::root(), DNSKEY::with_flags(0x0101, key.clone())));
        Self { keys: keys.collect(), digests: Vec::new() }
    }

    /// The DNSKEY and DS records in `text`, a zone file such as `dnssec-keygen` and `dnssec-signzone` write.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut anchors = Self { keys: Vec::new(), digests: Vec::new() };
        for line in zone_text::lines(text)? {
            anchors.read(&line).map_err(|reason| format!("{reason} in {line:?}"))?;
        }
        match anchors.keys.is_empty() && anchors.digests.is_empty() {
            true => Err("it holds neither a DNSKEY nor a DS record".to_owned()),
            false => Ok(anchors),
        }
    }

    /// Takes one record in. hickory's own reader of zone files knows no DNSKEY.
    fn read(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_kind = |word: &&str| word.eq_ignore_ascii_case("DNSKEY") || word.eq_ignore_ascii_case("DS");
        let Some(at) = words.iter().skip(1).position(is_kind).map(|at| at + 1) else {
            return Err("there is neither DNSKEY nor DS".to_owned());
        };
        let mut zone = Name::from_utf8(words[0]).map_err(|error| error.to_string())?;
        zone.set_fqdn(true);
        let [first, second, third, data @ ..] = &words[at + 1..] else {
            return Err("the record is cut short".to_owned());
        };
        let data = data.concat();
        let byte = |word: &str| word.parse::<u8>().map_err(|_| format!("{word:?} is not a number up to 255"));
        let number = first.parse::<u16>().map_err(|_| format!("{first:?} is not a number up to 65535"))?;
        if words[at].eq_ignore_ascii_case("DNSKEY") {
            let key = BASE64_STANDARD.decode(data).map_err(|error| format!("the key is not base64 ({error})"))?;
            let key = PublicKeyBuf::new(key, Algorithm::from_u8(byte(third)?));
            self.keys.push((zone, DNSKEY::with_flags(number, key)));
        } else {
            let digest = from_hex(&data).ok_or("the digest is not hexadecimal")?;
            let (algorithm, kind) = (Algorithm::from_u8(byte(second)?), DigestType::from(byte(third)?));
            self.digests.push((zone, DS::new(number, algorithm, kind, digest)));
        }
        Ok(())
    }

    /// The deepest zone at or above `name` that has an anchor.
    pub(super) fn above(&self, name: &Name) -> Option<Name> {
        let zones = self.keys.iter().map(|(zone, _)| zone).chain(self.digests.iter().map(|(zone, _)| zone));
        zones.filter(|zone| zone.zone_of(name)).max_by_key(|zone| zone.num_labels()).cloned()
    }

    /// Whether `key` of `zone` is an anchor.
    pub(super) fn trust(&self, zone: &Name, key: &DNSKEY) -> bool {
        let same = |known: &DNSKEY| known.public_key() == key.public_key();
        self.keys.iter().any(|(owner, known)| owner == zone && same(known))
            || self.digests.iter().any(|(owner, digest)| owner == zone && digest.covers(zone, key).unwrap_or(false))
    }

    /// The tags of the anchors of `zone`.
    pub(super) fn tags(&self, zone: &Name) -> Vec<u16> {
        let keys = self.keys.iter().filter(|(owner, _)| owner == zone);
        let digests = self.digests.iter().filter(|(owner, _)| owner == zone);
        keys.filter_map(|(_, key)| key.calculate_key_tag().ok())
            .chain(digests.map(|(_, digest)| digest.key_tag()))
            .collect()
    }

    /// The zones whose anchors are digests: their keys have to be fetched.
    pub(super) fn digested(&self) -> Vec<Name> {
        let mut zones: Vec<Name> = self.digests.iter().map(|(zone, _)| zone.clone()).collect();
        zones.dedup();
        zones
    }

    /// As hickory's validator keeps them: the keys known, and those of `fetched` that a digest vouches for.
    pub(super) fn for_validator(&self, fetched: &[(Name, DNSKEY)]) -> TrustAnchors {
        let mut anchors = TrustAnchors::empty();
        let vouched = fetched.iter().filter(|(zone, key)| self.trust(zone, key));
        for (zone, key) in self.keys.iter().chain(vouched) {
            anchors.insert_with_name(key.public_key(), zone.into());
        }
        anchors
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::Name;

    use super::Anchors;

    /// KSK-2017 as IANA publishes its digest.
    const ROOT_DS: &str = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";

    #[test]
    fn the_roots_keys_are_known_and_fit_their_published_digest() {
        let root = Name::root();
        let iana = Anchors::iana();
        assert_eq!(iana.tags(&root), [20326, 38696]);
        let digest = Anchors::parse(ROOT_DS).unwrap();
        assert!(digest.trust(&root, &iana.keys[0].1) && !digest.trust(&root, &iana.keys[1].1));
        assert_eq!(digest.digested(), [root]);
    }

    #[test]
    fn keys_are_read_as_tools_write_them() {
        let text = "; This is a key-signing key\n; Created: 2026\nexample. 3600 IN DNSKEY 257 3 13 (\n\tAAECAwQF ; id = 1\n\
                    \tBgcICQ== )\n\nsub.example. IN DS 1 13 2 00ff 10\n";
        let anchors = Anchors::parse(text).unwrap();
        assert_eq!((anchors.keys.len(), anchors.digests.len()), (1, 1));
        let name = |text: &str| Name::from_ascii(text).unwrap();
        assert_eq!(anchors.above(&name("a.sub.example.")), Some(name("sub.example.")));
        assert_eq!(anchors.above(&name("www.example.")), Some(name("example.")));
        assert_eq!(anchors.above(&name("com.")), None);
    }

    #[test]
    fn what_is_no_anchor_is_refused_with_the_line() {
        for wrong in [
            "",
            ". IN A 192.0.2.1",
            ". IN DNSKEY 257 3",
            ". IN DNSKEY x 3 8 AAAA",
            ". IN DNSKEY 257 3 8 A",
            ". IN DS 1 8 2 f",
            "a..b DS 1 8 2 ff",
            "DS",
            ". IN DS 1 999 2 ff",
            ". IN DNSKEY 257 3 8 (",
        ] {
            assert!(Anchors::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}

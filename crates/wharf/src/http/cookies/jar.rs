//! The cookies themselves: which are taken, which are sent, which make room. RFC 6265bis ("Cookies: HTTP State
//! Management Mechanism") over cookie_store's reading of `Set-Cookie` and its matching of hosts and paths. No clock:
//! the time is an argument. Called by `cookies`.

use cookie_store::{Cookie, CookieDomain, CookiePath};
use url::{Host, Url};

use super::file::Line;
use crate::http::Method;

/// The most cookies of one host and the hosts below it; RFC 6265bis section 6.1 asks for 50 at least.
pub(super) const MOST_OF_A_DOMAIN: usize = 180;
/// The most cookies in all, as in RFC 6265bis section 6.1.
pub(super) const MOST: usize = 3000;
/// The most bytes of a name and its value, as in RFC 6265bis section 5.6.
const LONGEST: usize = 4096;
/// The most `Set-Cookie` fields that are looked at in one response.
const MOST_OF_A_RESPONSE: usize = 200;
/// The most bytes of a `Cookie` field: servers commonly take 8 KiB of a line.
const LONGEST_FIELD: usize = 8000;
/// RFC 6265bis section 5.5: no cookie lives longer than 400 days.
const LONGEST_LIFE: u64 = 400 * 24 * 3600;

/// One cookie.
struct Kept {
    name: String,
    value: String,
    domain: CookieDomain,
    /// What was registered of the domain: the cookies of a site are limited together.
    site: String,
    path: CookiePath,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    /// Seconds since 1970; `None` for one that ends with the session.
    expires: Option<u64>,
    /// When it was made, among the others: earlier ones are sent first.
    made: u64,
    /// When it was last sent or set: the one longest unused makes room.
    used: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SameSite {
    None,
    /// Asked for, or nothing was said: sent across sites with a safe method only.
    Lax,
    Strict,
}

/// The cookies of one user.
#[derive(Default)]
pub(super) struct Jar {
    cookies: Vec<Kept>,
    /// Counts the events by which cookies are ordered.
    ticks: u64,
    /// Cookies that were not taken.
    refused: u64,
}

impl Jar {
    pub(super) fn len(&self) -> usize {
        self.cookies.len()
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The `Cookie` field of a request of `method` for `url`, at `now` seconds since 1970. `from` are the URLs that
    /// redirected there.
    pub(super) fn field(&mut self, method: &Method, url: &Url, from: &[Url], now: u64) -> Option<String> {
        self.drop_expired(now);
        let across_sites = from.iter().any(|from| !same_site(from, url));
        self.ticks += 1;
        let ticks = self.ticks;
        let mut matching: Vec<&mut Kept> = self
            .cookies
            .iter_mut()
            .filter(|cookie| {
                cookie.domain.matches(url)
                    && cookie.path.matches(url)
                    && (!cookie.secure || url.scheme() == "https")
                    && match cookie.same_site {
                        SameSite::None => true,
                        SameSite::Lax => !across_sites || method.is_safe(),
                        SameSite::Strict => !across_sites,
                    }
            })
            .collect();
        // RFC 6265bis section 5.8.3 step 2: longer paths first, then the earlier made.
        matching.sort_by_key(|cookie| (std::cmp::Reverse(cookie.path.len()), cookie.made));
        let mut field = String::new();
        for cookie in matching {
            if field.len() + cookie.name.len() + cookie.value.len() + 3 > LONGEST_FIELD {
                continue;
            }
            cookie.used = ticks;
            if !field.is_empty() {
                field += "; ";
            }
            field += &cookie.name;
            field += "=";
            field += &cookie.value;
        }
        if field.is_empty() { None } else { Some(field) }
    }

    /// Takes the `Set-Cookie` fields of a response from `url`.
    pub(super) fn take<'a>(&mut self, url: &Url, fields: impl IntoIterator<Item = &'a [u8]>, now: u64) {
        for (number, field) in fields.into_iter().enumerate() {
            if number == MOST_OF_A_RESPONSE || self.take_one(url, field, now).is_none() {
                self.refused += 1;
            }
            if number == MOST_OF_A_RESPONSE {
                break;
            }
        }
    }

    /// Takes one; `None` when it is refused.
    fn take_one(&mut self, url: &Url, field: &[u8], now: u64) -> Option<()> {
        // RFC 6265bis section 5.6 step 1: control characters end it all.
        if field.iter().any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
            return None;
        }
        let text = std::str::from_utf8(field).ok()?;
        let cookie = Cookie::parse(text.to_owned(), url).ok()?;
        let (name, value) = (cookie.name().to_owned(), cookie.value().to_owned());
        // RFC 6265bis section 5.6 step 5.
        if name.is_empty() || name.len() + value.len() > LONGEST {
            return None;
        }
        let https = url.scheme() == "https";
        let secure = cookie.secure().unwrap_or(false);
        // RFC 6265bis section 5.7 step 9: only a secure origin makes secure cookies.
        if secure && !https {
            return None;
        }
        let domain = self.domain(url, &cookie.domain)?;
        let same_site = match cookie.same_site() {
            // RFC 6265bis section 5.7 step 18: for all sites, but then encrypted.
            Some(same_site) if same_site.is_none() && !secure => return None,
            Some(same_site) if same_site.is_none() => SameSite::None,
            Some(same_site) if same_site.is_strict() => SameSite::Strict,
            _ => SameSite::Lax,
        };
        let path = cookie.path.clone();
        if !keeps_promise(&name, secure, &domain, &path, cookie.path.is_from_path_attr()) {
            return None;
        }
        // RFC 6265bis section 5.7 step 15: what was set over https is not laid over from http.
        if !https && self.cookies.iter().any(|other| other.secure && covers(other, &name, &domain, &path, url)) {
            return None;
        }
        let expires = match &cookie.expires {
            cookie_store::CookieExpiration::SessionEnd => None,
            cookie_store::CookieExpiration::AtUtc(at) => {
                Some(u64::try_from(at.unix_timestamp()).unwrap_or(0).min(now.saturating_add(LONGEST_LIFE)))
            }
        };
        let http_only = cookie.http_only().unwrap_or(false);
        let site = site_of(&domain);
        let kept = Kept { name, value, domain, site, path, secure, http_only, same_site, expires, made: 0, used: 0 };
        self.put(kept, now);
        Some(())
    }

    /// The host or hosts that a cookie from `url` with the domain `asked` is for; `None` when it may not be.
    fn domain(&self, url: &Url, asked: &CookieDomain) -> Option<CookieDomain> {
        let CookieDomain::Suffix(suffix) = asked else { return CookieDomain::host_only(url).ok() };
        if matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_))) {
            return CookieDomain::host_only(url).ok();
        }
        // RFC 6265bis section 5.7 step 11: a whole registry's hosts share nothing.
        if is_public_suffix(suffix) {
            return if url.host_str() == Some(suffix) { CookieDomain::host_only(url).ok() } else { None };
        }
        Some(asked.clone())
    }

    fn put(&mut self, mut kept: Kept, now: u64) {
        self.ticks += 1;
        (kept.made, kept.used) = (self.ticks, self.ticks);
        let same = |other: &Kept| other.name == kept.name && other.domain == kept.domain && *other.path == *kept.path;
        if let Some(at) = self.cookies.iter().position(same) {
            // RFC 6265bis section 5.7 step 22: it keeps its place among the others.
            kept.made = self.cookies[at].made;
            self.cookies.remove(at);
        }
        // RFC 6265bis section 5.7: one from the past is how a server deletes.
        if kept.expires.is_some_and(|expires| expires <= now) {
            return;
        }
        let site = kept.site.clone();
        self.cookies.push(kept);
        self.make_room(&site, now);
    }

    /// RFC 6265bis section 5.7: expired ones go first, then the host's surplus, those without `Secure` before the
    /// others, then anybody's.
    fn make_room(&mut self, site: &str, now: u64) {
        let surplus = |jar: &Self| jar.cookies.iter().filter(|cookie| cookie.site == site).count();
        if self.cookies.len() > MOST || surplus(self) > MOST_OF_A_DOMAIN {
            self.drop_expired(now);
        }
        while surplus(self) > MOST_OF_A_DOMAIN {
            self.evict(|cookie| cookie.site == site);
        }
        while self.cookies.len() > MOST {
            self.evict(|_| true);
        }
    }

    fn evict(&mut self, among: impl Fn(&Kept) -> bool) {
        let candidates = self.cookies.iter().enumerate().filter(|(_, cookie)| among(cookie));
        if let Some((at, _)) = candidates.min_by_key(|(_, cookie)| (cookie.secure, cookie.used)) {
            self.cookies.remove(at);
        }
    }

    fn drop_expired(&mut self, now: u64) {
        self.cookies.retain(|cookie| cookie.expires.is_none_or(|expires| expires > now));
    }

    /// Takes what a file held. Limits hold here too; what is past is left out.
    pub(super) fn take_lines(&mut self, lines: Vec<Line>, now: u64) {
        for line in lines {
            let domain = if line.subdomains && line.domain.parse::<std::net::IpAddr>().is_err() {
                CookieDomain::Suffix(line.domain)
            } else {
                CookieDomain::HostOnly(line.domain)
            };
            let shared = matches!(&domain, CookieDomain::Suffix(suffix) if is_public_suffix(suffix));
            let Some(path) = CookiePath::parse(&line.path) else { continue };
            if shared
                || line.name.len() + line.value.len() > LONGEST
                || !keeps_promise(&line.name, line.secure, &domain, &path, true)
            {
                self.refused += 1;
                continue;
            }
            let expires = if line.expires == 0 { None } else { Some(line.expires.min(now + LONGEST_LIFE)) };
            let site = site_of(&domain);
            self.put(
                Kept {
                    site,
                    name: line.name,
                    value: line.value,
                    domain,
                    path,
                    secure: line.secure,
                    http_only: line.http_only,
                    // The format has no place for it; RFC 6265bis takes nothing said for this.
                    same_site: SameSite::Lax,
                    expires,
                    made: 0,
                    used: 0,
                },
                now,
            );
        }
    }

    /// The cookies that live at `now`, as a file has them, in the order in which they were made.
    pub(super) fn lines(&mut self, now: u64) -> Vec<Line> {
        self.drop_expired(now);
        let mut cookies: Vec<&Kept> = self.cookies.iter().collect();
        cookies.sort_by_key(|cookie| cookie.made);
        cookies
            .into_iter()
            .filter_map(|cookie| {
                Some(Line {
                    domain: cookie.domain.as_cow()?.into_owned(),
                    subdomains: matches!(cookie.domain, CookieDomain::Suffix(_)),
                    path: cookie.path.to_string(),
                    secure: cookie.secure,
                    http_only: cookie.http_only,
                    expires: cookie.expires.unwrap_or(0),
                    name: cookie.name.clone(),
                    value: cookie.value.clone(),
                })
            })
            .collect()
    }
}

/// RFC 6265bis section 4.1.3: what the name's prefix promises must hold. Names are compared without case, as section
/// 5.7 steps 20 and 21 do.
fn keeps_promise(name: &str, secure: bool, domain: &CookieDomain, path: &CookiePath, path_given: bool) -> bool {
    let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
    if begins("__Host-") {
        return secure && matches!(domain, CookieDomain::HostOnly(_)) && path_given && **path == *"/";
    }
    !begins("__Secure-") || secure
}

/// Whether `other` is a cookie that one of this name, domain and path would stand beside or in place of.
fn covers(other: &Kept, name: &str, domain: &CookieDomain, path: &CookiePath, url: &Url) -> bool {
    let hosts = |domain: &CookieDomain| domain.as_cow().map(|host| host.into_owned()).unwrap_or_default();
    let (there, here) = (hosts(&other.domain), hosts(domain));
    let below = |one: &str, two: &str| one == two || one.strip_suffix(two).is_some_and(|rest| rest.ends_with('.'));
    let mut at = url.clone();
    at.set_path(path);
    other.name == name && (below(&there, &here) || below(&here, &there)) && other.path.matches(&at)
}

fn is_public_suffix(domain: &str) -> bool {
    psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.as_bytes() == domain.as_bytes())
}

/// What was registered of `host`: `example.co.uk` of `www.example.co.uk`; the whole where nothing was.
fn registrable(host: &str) -> &str {
    if host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() {
        return host;
    }
    psl::domain_str(host).unwrap_or(host)
}

fn site_of(domain: &CookieDomain) -> String {
    domain.as_cow().map(|host| registrable(&host).to_owned()).unwrap_or_default()
}

/// RFC 6265bis section 5.2: the same scheme, and registered by the same.
fn same_site(one: &Url, two: &Url) -> bool {
    let site = |url: &Url| url.host_str().map(|host| registrable(host).to_owned());
    one.scheme() == two.scheme() && site(one) == site(two)
}

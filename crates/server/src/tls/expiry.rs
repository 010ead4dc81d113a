//! When a certificate ends (RFC 5280, section 4.1.2.5). Only that field is read, so no more of the format
//! is understood than the way there.

/// DER: a sequence.
const SEQUENCE: u8 = 0x30;
/// DER: the version of a certificate, `[0]`.
const VERSION: u8 = 0xa0;
/// DER: a time with two digits for the year.
const UTC_TIME: u8 = 0x17;
/// DER: a time with four digits for the year.
const GENERALIZED_TIME: u8 = 0x18;

/// Takes one element from the front of `der`: its tag and its content.
fn take<'a>(der: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Certificates are far below 2^24 bytes.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some((tag, content))
}

fn inside<'a>(der: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    take(der).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// Unix time in seconds of the certificate's last moment; nothing for bytes that are no certificate.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let mut der = certificate;
    let mut certificate = inside(&mut der, SEQUENCE)?;
    let mut signed = inside(&mut certificate, SEQUENCE)?;
    let mut ahead = signed;
    if take(&mut ahead)?.0 == VERSION {
        signed = ahead;
    }
    // Number, algorithm and issuer stand before the validity.
    for _ in 0..3 {
        take(&mut signed)?;
    }
    let mut validity = inside(&mut signed, SEQUENCE)?;
    take(&mut validity)?;
    let (kind, text) = take(&mut validity)?;
    time(kind, std::str::from_utf8(text).ok()?)
}

/// `YYMMDDHHMMSSZ`, years from 1950 on, or `YYYYMMDDHHMMSSZ`.
fn time(kind: u8, text: &str) -> Option<i64> {
    let full = match kind {
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let digits = full.strip_suffix('Z')?;
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i16>().ok();
    let small = |from: usize| i8::try_from(number(from, from + 2)?).ok();
    let date = jiff::civil::DateTime::new(
        number(0, 4)?,
        small(4)?,
        small(6)?,
        small(8)?,
        small(10)?,
        small(12)?,
        0,
    );
    let zoned = date.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_certificate_says_when_it_ends() {
        let key = rcgen::KeyPair::generate().unwrap();
        for (year, seconds) in [(2031, 1_924_992_000), (2051, 2_556_144_000)] {
            let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
            let certificate = parameters.self_signed(&key).unwrap();
            assert_eq!(not_after(certificate.der()), Some(seconds), "{year}");
        }
    }

    #[test]
    fn other_bytes_say_nothing() {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap().der().to_vec();
        for length in 0..certificate.len().min(120) {
            assert_eq!(not_after(&certificate[..length]), None, "{length}");
        }
        assert_eq!(not_after(b"\x30\x83\xff\xff\xff"), None);
        assert_eq!(time(UTC_TIME, "991301000000Z"), None, "no thirteenth month");
    }
}

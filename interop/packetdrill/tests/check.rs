//! `%{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%`: comparisons of what TCP_INFO says, in the little of Python that they
//! need. Several stand on lines of their own or are joined by `and`.

/// Where the fields of Linux's `tcp_info` are, and how many bytes each has.
const FIELDS: &[(&str, usize, usize)] = &[
    ("tcpi_state", 0, 1),
    ("tcpi_ca_state", 1, 1),
    ("tcpi_retransmits", 2, 1),
    ("tcpi_probes", 3, 1),
    ("tcpi_backoff", 4, 1),
    ("tcpi_options", 5, 1),
    ("tcpi_rto", 8, 4),
    ("tcpi_snd_mss", 16, 4),
    ("tcpi_rcv_mss", 20, 4),
    ("tcpi_unacked", 24, 4),
    ("tcpi_sacked", 28, 4),
    ("tcpi_lost", 32, 4),
    ("tcpi_retrans", 36, 4),
    ("tcpi_pmtu", 60, 4),
    ("tcpi_rtt", 68, 4),
    ("tcpi_rttvar", 72, 4),
    ("tcpi_snd_ssthresh", 76, 4),
    ("tcpi_snd_cwnd", 80, 4),
    ("tcpi_advmss", 84, 4),
    ("tcpi_reordering", 88, 4),
    ("tcpi_total_retrans", 100, 4),
    ("tcpi_pacing_rate", 104, 8),
    ("tcpi_bytes_acked", 120, 8),
    ("tcpi_bytes_received", 128, 8),
    ("tcpi_segs_out", 136, 4),
    ("tcpi_segs_in", 140, 4),
    ("tcpi_notsent_bytes", 144, 4),
    ("tcpi_min_rtt", 148, 4),
    ("tcpi_data_segs_in", 152, 4),
    ("tcpi_data_segs_out", 156, 4),
    ("tcpi_delivery_rate", 160, 8),
    ("tcpi_busy_time", 168, 8),
    ("tcpi_rwnd_limited", 176, 8),
    ("tcpi_sndbuf_limited", 184, 8),
    ("tcpi_delivered", 192, 4),
    ("tcpi_delivered_ce", 196, 4),
    ("tcpi_bytes_sent", 200, 8),
    ("tcpi_bytes_retrans", 208, 8),
    ("tcpi_dsack_dups", 216, 4),
    ("tcpi_reord_seen", 220, 4),
    ("tcpi_rcv_ooopack", 224, 4),
    ("tcpi_snd_wnd", 228, 4),
    ("tcpi_rcv_wnd", 232, 4),
];

const CONSTANTS: &[(&str, u64)] = &[
    ("TCP_ESTABLISHED", 1),
    ("TCP_SYN_SENT", 2),
    ("TCP_SYN_RECV", 3),
    ("TCP_FIN_WAIT1", 4),
    ("TCP_FIN_WAIT2", 5),
    ("TCP_TIME_WAIT", 6),
    ("TCP_CLOSE", 7),
    ("TCP_CLOSE_WAIT", 8),
    ("TCP_LAST_ACK", 9),
    ("TCP_LISTEN", 10),
    ("TCP_CLOSING", 11),
    ("TCP_CA_Open", 0),
    ("TCP_CA_Disorder", 1),
    ("TCP_CA_CWR", 2),
    ("TCP_CA_Recovery", 3),
    ("TCP_CA_Loss", 4),
    ("TCPI_OPT_TIMESTAMPS", 1),
    ("TCPI_OPT_SACK", 2),
    ("TCPI_OPT_WSCALE", 4),
    ("TCPI_OPT_ECN", 8),
];

/// Checks the assertions of a snippet against the bytes of a `tcp_info`.
pub(crate) fn check(code: &str, info: &[u8]) -> Result<(), String> {
    for statement in code.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let assertion = statement.strip_prefix("assert ").ok_or(format!("'{statement}' is not understood"))?;
        let condition = assertion.split(',').next().unwrap_or(assertion);
        for comparison in condition.split(" and ") {
            compare(comparison.trim(), info)?;
        }
    }
    Ok(())
}

fn compare(comparison: &str, info: &[u8]) -> Result<(), String> {
    for operator in ["==", "!=", "<=", ">=", "<", ">"] {
        let Some((left, right)) = comparison.split_once(operator) else { continue };
        let (left, right) = (term(left.trim(), info)?, term(right.trim(), info)?);
        let holds = match operator {
            "==" => left == right,
            "!=" => left != right,
            "<=" => left <= right,
            ">=" => left >= right,
            "<" => left < right,
            _ => left > right,
        };
        return if holds { Ok(()) } else { Err(format!("{comparison} does not hold: {left} against {right}")) };
    }
    Err(format!("'{comparison}' is no comparison"))
}

fn term(name: &str, info: &[u8]) -> Result<u64, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    if let Some((_, value)) = CONSTANTS.iter().find(|(other, _)| *other == name) {
        return Ok(*value);
    }
    let (_, at, len) = FIELDS.iter().find(|(other, ..)| *other == name).ok_or(format!("{name} is not known"))?;
    let bytes = info.get(*at..at + len).ok_or(format!("{name} lies beyond what the stack gave"))?;
    Ok(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

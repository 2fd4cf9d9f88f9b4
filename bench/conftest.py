"""Adds to the table of call times: nanoseconds a step, fractions of the FLOP peak, fractions of a time."""

collect_ignore_glob = ["peers/*"]  # some of them need packages that only `make bench-peers` installs


def pytest_terminal_summary(terminalreporter):
    rows = [
        (dict(report.user_properties), report.nodeid.partition("::")[2])
        for report in terminalreporter.stats.get("passed", [])
        if "ns_per_step" in dict(report.user_properties)
    ]
    if rows:
        terminalreporter.section("nanoseconds a step, medians, and the part of the FLOP peak")
        for found, name in rows:
            fraction = found.get("fraction_of_flop_peak")
            part = f"{fraction:6.1%}" if fraction else " " * 6
            terminalreporter.write_line(f"{found['ns_per_step']:14,.1f}  {part}  {name}")
    for report in terminalreporter.stats.get("passed", []):
        shares = dict(report.user_properties).get("shares", {})
        if shares:
            terminalreporter.section(report.nodeid.partition("::")[2])
        for name, share in shares.items():
            terminalreporter.write_line(f"{100 * share:10.3f} %  {name}")

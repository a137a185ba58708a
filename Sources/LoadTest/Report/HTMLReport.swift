/// A report as one HTML file that needs nothing else: no network, no script from elsewhere.
package enum HTMLReport {
    /// The page of one run.
    package static func page(_ report: LoadReport) throws -> String {
        try Self.page(report, HTMLReportScript.run)
    }

    /// The page of two targets asked in turn.
    package static func page(_ comparison: Comparison) throws -> String {
        try Self.page(comparison, HTMLReportScript.comparison)
    }

    /// The page of a search for the highest rate.
    package static func page(_ search: FindMaximum) throws -> String {
        try Self.page(search, HTMLReportScript.maximum)
    }

    private static func page(_ report: some Encodable, _ parts: String) throws -> String {
        // In a script element only "</" and "<!--" could end what they should not.
        let json = try ReportFiles.json(report).replacing("<", with: "\\u003c")
        return Self.page
            .replacing("/*STYLE*/", with: HTMLReportStyle.text)
            .replacing("/*CHARTS*/", with: HTMLReportScript.text(parts))
            .replacing("\"REPORT\"", with: json)
    }

    /// A policy that lets nothing in from anywhere, should a browser be talked into asking.
    private static let page = #"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width">
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
        <title>scoregate load</title>
        <style>/*STYLE*/</style>
        </head>
        <body>
        <main id="main"></main>
        <script id="report" type="application/json">"REPORT"</script>
        <script>/*CHARTS*/</script>
        </body>
        </html>

        """#
}

/// The style of the page.
enum HTMLReportStyle {
    static let text = """

        :root { --ink: #1d2733; --soft: #66788a; --line: #dfe5ea; --paper: #fff; --ground: #f4f6f8;
          --blue: #1f6feb; --teal: #0f9d8c; --amber: #d98a00; --red: #d1342b; --violet: #7a4fd0; }
        @media (prefers-color-scheme: dark) { :root { --ink: #dfe7ef; --soft: #8da0b3; --line: #2c3844;
          --paper: #18212b; --ground: #10171e; --blue: #58a6ff; --teal: #3cc9b6; --amber: #f0b43c;
          --red: #ff6b61; --violet: #b294ff; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--ground); color: var(--ink);
          font: 14px/1.45 system-ui, "DejaVu Sans", "Liberation Sans", sans-serif; }
        main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 48px; }
        h1 { font-size: 21px; margin: 0; font-weight: 650; overflow-wrap: anywhere; }
        h2 { font-size: 14px; margin: 0 0 10px; font-weight: 650; }
        p.lead { color: var(--soft); margin: 4px 0 20px; }
        section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
          padding: 16px 18px; margin-bottom: 16px; }
        .grid { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
        .grid > section { margin-bottom: 0; min-width: 0; }
        .grid { margin-bottom: 16px; }
        .tiles { display: grid; grid-template-columns: repeat(6, 1fr); gap: 12px; margin-bottom: 16px; }
        .tile { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
        .tile b { display: block; font-size: 21px; font-weight: 650; font-variant-numeric: tabular-nums; }
        .tile span { color: var(--soft); font-size: 12.5px; }
        .bad b { color: var(--red); }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
        th, td { text-align: right; padding: 5px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
        th { color: var(--soft); font-weight: 500; }
        th:first-child, td:first-child { text-align: left; }
        tr:last-child td { border-bottom: 0; }
        td.wide { white-space: normal; overflow-wrap: anywhere; text-align: left; }
        td.left, th.left { text-align: left; }
        .scroll { overflow-x: auto; }
        .note { color: var(--soft); font-size: 12.5px; margin: 8px 0 0; }
        .verdict { padding: 7px 0; border-bottom: 1px solid var(--line); display: flex; gap: 10px; }
        .verdict:last-child { border-bottom: 0; }
        .verdict i { font-style: normal; font-weight: 650; min-width: 74px; color: var(--teal); }
        .verdict.broken i { color: var(--red); }
        svg { display: block; width: 100%; height: auto; overflow: visible; }
        svg text { fill: var(--soft); font-size: 11px; font-family: inherit; }
        .legend { display: flex; flex-wrap: wrap; gap: 4px 16px; color: var(--soft); font-size: 12.5px; margin-top: 6px; }
        .legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; vertical-align: middle; margin-right: 6px; }
        .bar { height: 9px; border-radius: 5px; background: var(--line); overflow: hidden; min-width: 70px; }
        .bar i { display: block; height: 100%; background: var(--blue); }
        code { font-family: ui-monospace, "DejaVu Sans Mono", "Liberation Mono", monospace; font-size: 12.5px; }
        @media (max-width: 860px) { .grid { grid-template-columns: 1fr; } .tiles { grid-template-columns: repeat(2, 1fr); } }

        """
}

#!/bin/sh
# Draws two terminals, light.svg and dark.svg, from a real run of the `skypipe` on PATH:
#
#     docs/picture/draw.sh [DIRECTORY]
#
# The run has a home directory and a satellite of its own. It prints the same every time, so the files only change
# when the program does; a test compares them.
set -eu
out=$(cd "${1:-$(dirname "$0")}" && pwd)
home=$(mktemp -d)
HOME=$home SKYPIPE_DATA=memory
export HOME SKYPIPE_DATA
unset SATELLITE
trap 'skypipe --reset --yes 2>/dev/null || :; rm -rf "$home"' EXIT
cd "$home"

# One row for each line, in the order of time: the side, whether it was typed or printed, the text.
typed() { printf '%s\ttyped\t%s\n' "$1" "$2" >>rows; }
printed() { while IFS= read -r line; do printf '%s\tprinted\t%s\n' "$1" "$line" >>rows; done; }
# What is typed has /dev/null as stdin; to skypipe that is as good as a terminal.
run() {
    typed "$1" "$2"
    sh -c "$2" </dev/null >shown
    printed "$1" <shown
}
gap() { printf 'gap\t\t\n' >>rows; }

seq 12 | sed 's/$/,ok/' >report.csv
printf '#!/bin/sh\necho "deploying..."\n' >deploy.sh
chmod +x deploy.sh

run left 'cat report.csv | skypipe files'
gap
run right 'skypipe --list'
run right 'skypipe files > copy.csv'
cmp report.csv copy.csv
gap
waiting='skypipe green && ./deploy.sh'
typed right "$waiting"
sh -c "$waiting" </dev/null >released &
tries=0
until skypipe --list | grep -q '^green .* 1$'; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || { echo 'nobody waits in "green"' >&2; exit 1; }
    sleep 0.05
done
gap
run left 'echo "tests passed" | skypipe green'
wait $!
printed right <released

# draw NAME WINDOW BAR EDGE TEXT PROMPT FAINT
draw() {
    awk -F '\t' -v window="$2" -v bar="$3" -v edge="$4" -v text="$5" -v prompt="$6" -v faint="$7" '
        function escaped(line) {
            gsub(/&/, "\\&amp;", line)
            gsub(/</, "\\&lt;", line)
            gsub(/>/, "\\&gt;", line)
            return line
        }
        BEGIN { y = 64; x["left"] = 18; x["right"] = 448 }
        $1 == "gap" { y += 10; next }
        {
            line = escaped($3)
            if ($2 == "typed") line = "<tspan class=\"prompt\">$</tspan> " line
            lines = lines sprintf("<text xml:space=\"preserve\" x=\"%d\" y=\"%d\">%s</text>\n", x[$1], y, line)
            y += 20
        }
        function frame(left, title) {
            printf "<rect class=\"window\" x=\"%d.5\" y=\".5\" width=\"411\" height=\"%d\" rx=\"8\"/>\n", left, y - 1
            printf "<path class=\"bar\" d=\"M%d 34V9a8 8 0 0 1 8-8h394a8 8 0 0 1 8 8v25z\"/>\n", left + 1
            for (i = 0; i < 3; i++) printf "<circle class=\"dot\" cx=\"%d\" cy=\"17\" r=\"5\"/>\n", left + 18 + 16 * i
            printf "<text class=\"title\" x=\"%d\" y=\"22\">%s</text>\n", left + 206, title
        }
        END {
            printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"844\" height=\"%d\" viewBox=\"0 0 844 %d\">\n", y, y
            print "<style>"
            printf "text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: %s; white-space: pre }\n", text
            printf ".title { fill: %s; text-anchor: middle }\n.prompt { fill: %s }\n", faint, prompt
            printf ".window { fill: %s; stroke: %s }\n.bar { fill: %s }\n.dot { fill: %s }\n", window, edge, bar, edge
            print "</style>"
            frame(0, "one terminal")
            frame(430, "another")
            printf "%s</svg>\n", lines
        }' rows >"$out/$1.svg"
}
draw light '#ffffff' '#f1f3f5' '#ced4da' '#212529' '#2b8a3e' '#868e96'
draw dark '#161b22' '#21262d' '#3d444d' '#e6edf3' '#56d364' '#8b949e'

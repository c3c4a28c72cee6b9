package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netresearch/go-cron"

	"github.com/vmscaler/vmscaler/bus"
)

// searchYears is how far a moment is looked for: 29 February on a Sunday comes after 40 years at the latest.
const searchYears = 41

var (
	zonePrefix = regexp.MustCompile(`^\s*[A-Za-z_]+\s*=`)
	// element is one of a field's list. The library takes more, such as "*-5" for "*", and "," for never.
	element = regexp.MustCompile(`^([*?]|([0-9]+|[a-z]{3})(-([0-9]+|[a-z]{3}))?)(/([0-9]+))?$`)
)

// Parse reads an action's moments. The error says which field is wrong.
func Parse(a bus.ScheduledAction) (*Moments, error) {
	zone, err := time.LoadLocation(a.Zone)
	if err != nil {
		return nil, fmt.Errorf("zone: %w", err)
	}
	m, err := parse(a.At)
	if err != nil {
		return nil, fmt.Errorf("at: %w", err)
	}
	m.zone = zone
	if err := m.bound(a); err != nil {
		return nil, err
	}
	return m, nil
}

// CheckAt reports what is wrong with a cron expression, or a date in its place.
func CheckAt(at string) error {
	_, err := parse(at)
	return err
}

func parse(at string) (*Moments, error) {
	if looksLikeDate.MatchString(at) {
		return parseOnce(at)
	}
	if zonePrefix.MatchString(at) {
		return nil, errors.New("use zone: for the time zone, and here the expression alone")
	}
	// Names are in any case, and the library takes an upper-case H, as in THU, for something else.
	at = strings.ToLower(strings.TrimSpace(at))
	if strings.HasPrefix(at, "@every") || at == "@reboot" {
		return nil, errors.New("it has no times of its own; a repetition is such as */15 * * * *")
	}
	options := cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor
	fields := strings.Fields(at)
	five := len(fields) == 5 && at[0] != '@'
	often := at == "@hourly"
	if five {
		often = isStar(fields[0]) || isStar(fields[1])
		if !isStar(fields[2]) && !isStar(fields[4]) {
			options |= cron.DowOrDom // crontab(5): where both are restricted, either will do
		}
		at = strings.Join(plain(fields), " ")
	}
	parser, err := cron.TryNewParser(options)
	if err != nil {
		return nil, fmt.Errorf("its parser: %w", err)
	}
	s, err := parser.WithMaxSearchYears(searchYears).Parse(at)
	if err != nil {
		return nil, err
	}
	wall, ok := s.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("a %T, want times of the day", s)
	}
	if five {
		for _, f := range fields {
			for e := range strings.SplitSeq(f, ",") {
				if !element.MatchString(e) {
					return nil, fmt.Errorf("%q in %q is no number, name, range or step", e, f)
				}
			}
		}
	}
	wall.Location = time.UTC
	if wall.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("it is never due: no month has such a day")
	}
	return &Moments{wall: wall, often: often}, nil
}

func isStar(field string) bool { return field[0] == '*' || field[0] == '?' }

// plain are the five fields without what crontab(5) has and the library has not: a step beyond the end of its range,
// such as */24 for the hour, which leaves the first; and ranges of weekdays in which a Sunday counts once.
func plain(fields []string) []string {
	fields = slices.Clone(fields)
	for i, bounds := range [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}} {
		list := strings.Split(fields[i], ",")
		for j, e := range list {
			part := element.FindStringSubmatch(e)
			if part == nil {
				continue // the library says what is wrong
			}
			step, err := strconv.Atoi(part[6])
			stepped := err == nil && step > 0
			low, high, isRange := bounds[0], bounds[1], isStar(e)
			if part[4] != "" {
				first, err1 := number(part[2], i)
				last, err2 := number(part[4], i)
				isRange = err1 == nil && err2 == nil && first >= low && first <= high && last >= low && last <= high
				low, high = first, last
			}
			switch {
			case isRange && i == 4 && !isStar(e):
				list[j] = weekdays(low, high, max(step, 1))
				if part[5] != "" && !stepped {
					list[j] = e // a step of 0, which the library refuses
				}
			case isRange && stepped && low <= high && step > high-low:
				list[j] = strconv.Itoa(low)
			}
		}
		fields[i] = strings.Join(list, ",")
	}
	return fields
}

// number is a number, or that of a weekday's name in the last field.
func number(s string, field int) (int, error) {
	if day := slices.Index([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, s); field == 4 && day >= 0 {
		return day, nil
	}
	return strconv.Atoi(s)
}

// weekdays are the days from low to high, round the end of the week.
func weekdays(low, high, step int) string {
	if low > high {
		high += 7
	}
	var days []string
	for day := low; day <= high; day += step {
		days = append(days, strconv.Itoa(day%7))
	}
	return strings.Join(days, ",")
}

package detect

import (
	"fmt"
	"testing"
)

// TestOnWhoseBehalf has what honest people and their programs ask for, by themselves or because a page elsewhere has it so: it
// is weak, or nothing.
func TestOnWhoseBehalf(t *testing.T) {
	r := load(t, Options{})
	const browser = "Mozilla/5.0"
	for _, c := range []struct{ method, target, referer, agent string }{
		// Forges and their editors
		{"GET", "/dan/app/_edit/main/.env.example", "-", browser},
		{"GET", "/dan/app/_new/main/.env", "-", browser},
		{"POST", "/dan/app/_preview/main/.env", "-", browser},
		{"GET", "/dan/app/src/topic/.env", "-", browser},
		{"GET", "/repo/file/tip/.env.example", "-", browser},
		{"GET", "/repo/annotate/tip/deploy/.env", "-", browser},
		{"GET", "/repo/raw-file/0123456789ab/.env", "-", browser},
		{"GET", "/group/app/-/edit/main/.env.example", "-", browser},
		{"GET", "/projects/X/repos/app/browse/.env", "-", browser},
		{"GET", "/app.git/tree/.npmrc", "-", browser},
		// Parameters of applications
		{"GET", "/phpthumb/phpThumb.php?src=../../../images/a1.jpg&w=100", "https://shop.example/", browser},
		{"GET", "/wp-content/themes/x/timthumb.php?src=../../../uploads/a.png&h=90", "-", browser},
		{"GET", "/list.php?back=../../../shop/list", "-", browser},
		// Searches, and what people write
		{"GET", "/search?q=union+select+a%2C+b+from+t", "-", browser},
		{"GET", "/?s=php://input", "-", browser},
		{"GET", "/forum/search.php?keywords=%27+or+1%3D1", "-", browser},
		{"GET", "/api/search?lang=en&query=%3Cscript%3Ealert(1)", "-", browser},
		{"GET", "/search?q=%24%7Bjndi:ldap", "-", browser},
		{"GET", "/search?q=%3C%3Fphp+echo", "-", browser},
		// A Referer is the page's
		{"GET", "/logo.png", "https://evil.example/?${jndi:ldap://x}", browser},
		{"GET", "/logo.png", "${jndi:ldap://x}", browser},
		{"GET", "/logo.png", "() { :;}; echo", browser},
		// WordPress answers 200 to what is right
		{"POST", "/wp-login.php", "https://blog.example/wp-login.php?interim-login=1&wp_lang=en_US", browser},
		{"POST", "/wp-login.php?interim-login=1", "-", browser},
		{"POST", "/wp-login.php?action=validate_2fa", "-", browser},
		{"POST", "/wp-login.php?action=lostpassword", "-", browser},
		// Who shows the preview of a link, or indexes it
		{"GET", "/.env?1", "-", "Mastodon/4.5.2 (http.rb/5.3.1; +https://social.example/)"},
		{"GET", "/.env?1", "-", "http.rb/5.1.1 (Mastodon/4.2.0; +https://social.example/) Bot"},
		{"HEAD", "/.git/config", "-", "Misskey/2025.1.0 (https://social.example)"},
		{"GET", "/?x=${jndi:ldap://x}", "-", "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"},
		{"GET", "/phpmyadmin/", "-", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
		{"GET", "/id_rsa", "-", "Synapse (bot; +https://github.com/matrix-org/synapse)"},
	} {
		var f Finding
		for program, line := range map[string]string{
			"nginx": fmt.Sprintf(`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "%s %s HTTP/1.1" 200 9 "%s" "%s"`, c.method, c.target, c.referer, c.agent),
			"caddy": fmt.Sprintf(`{"request":{"remote_ip":"203.0.113.5","method":%q,"uri":%q,"headers":{"User-Agent":[%q],"Referer":[%q]}},"user_id":"","status":200}`, c.method, c.target, c.agent, c.referer),
		} {
			if r.Detect([]byte(program), []byte(line), &f) == Matched && !f.Weak() {
				t.Errorf("%s: %s is held against its peer by %v", program, line, f.Rule)
			}
		}
	}
}

// TestNotOnBehalf has what is near to that, and strong: nobody hides by what is weak.
func TestNotOnBehalf(t *testing.T) {
	r := load(t, Options{})
	for _, c := range []struct{ request, agent string }{
		{"POST /.env", "Mastodon/4.5.2 (http.rb/5.3.1; +https://social.example/)"},
		{"GET /edit/../.env", "Mozilla/5.0"},
		{"GET /src/.env", "Mozilla/5.0"},
		{"GET /vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "Mozilla/5.0"},
		{"GET /index.php?page=../../../../etc/passwd", "Mozilla/5.0"},
		{"GET /item?id=1+union+select+a,b", "Mozilla/5.0"},
		{"GET /", "${jndi:ldap://x}"},
		{"CONNECT www.example.org:443", "-"},
	} {
		var f Finding
		line := fmt.Sprintf(`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "%s HTTP/1.1" 404 9 "-" "%s"`, c.request, c.agent)
		if v := r.Detect([]byte("nginx"), []byte(line), &f); v != Matched || f.Weak() {
			t.Errorf("%s: %v, by %v", line, v, f.Rule)
		}
	}
}
